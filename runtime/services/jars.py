"""The files of the Java servers: resolved once by Maven, kept in the cache, and used only if each has its checksum."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from core.errors import BadFile, Unavailable
from runtime.services import pins
from runtime.services.model import Say, not_installed
from runtime.services.places import Account, find_program, reachable
from runtime.services.processes import runner
from runtime.services_settings import ServicesSettings

VERSIONS: Final = {"kafka": pins.KAFKA, "cassandra": pins.CASSANDRA}

Fetch = Callable[[str, Path], None]  # (server, folder): puts the files of a server into an empty folder


def jar_folder(server: str, cache: Path) -> Path:
    """Where the files of a server's pinned version are once they were fetched."""
    return cache / f"{server}-{VERSIONS[server]}"


def have_jars(server: str, cache: Path, fetch: Fetch, say: Say) -> Path:
    """The folder of a server's files, every one of them checked; fetches them where they are not there yet.

    The folder appears whole or not at all. Raises what `fetch` raises, and BadFile naming a file that is not
    what the lock says.
    """
    folder = jar_folder(server, cache)
    if not folder.exists():
        say(f"{server}: fetching version {VERSIONS[server]} into {folder}")
        try:
            cache.mkdir(parents=True, exist_ok=True)
            fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=cache))
        except OSError as error:
            raise Unavailable(f"{cache} cannot be used: {error.strerror}") from error
        try:
            fetch(server, fresh)
            _check(server, fresh, alone=True)
            fresh.chmod(0o755)  # read by the users that run the servers
            if not folder.exists():
                fresh.rename(folder)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    _check(server, folder)
    return folder


def class_path(server: str, cache: Path, by: Account | None) -> str:
    """The locked files of a server as Java takes them; no others that may lie beside them.

    Raises Unavailable when the account that runs the server cannot get there.
    """
    folder = jar_folder(server, cache)
    reachable(folder, by)
    return os.pathsep.join(str(folder / name) for name in locked(server))


def locked(server: str) -> dict[str, str]:
    """File names and their sha256, as committed."""
    lines = (_home(server) / "jars.sha256").read_text("ascii").splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


def with_maven(settings: ServicesSettings) -> Fetch:
    """Fetches with the `mvn` that the machine has, as it is set up. Raises Unavailable, code not_installed."""

    def fetch(server: str, folder: Path) -> None:
        program = find_program("mvn")
        if program is None:
            raise not_installed(f"{server} is fetched by Maven, which", "apt-get install maven")
        words = [
            *(program, "--batch-mode", "--quiet", "--no-transfer-progress"),
            *("--file", str(_home(server) / "pom.xml"), f"-Dserver.version={VERSIONS[server]}"),
            *("dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder}"),
        ]
        try:
            runner(folder, None, settings.fetch_timeout_s)(words, env=dict(os.environ))
        except Unavailable as error:
            raise not_installed(server, f"its files cannot be fetched: {error.detail}") from error

    return fetch


def find_java(server: str, fits: Callable[[int], bool], wanted: str) -> str:
    """The path of a `java` whose version fits. Raises Unavailable, code not_installed, saying what was found."""
    seen: list[str] = []
    homes = sorted(Path("/usr/lib/jvm").glob("*/bin"))
    for path in (_named_java(), find_program("java"), *(shutil.which("java", path=str(home)) for home in homes)):
        if path is None:
            continue
        version = _java_version(path)
        if fits(version):
            return path
        seen.append(f"{path} is {version}")
    found = f" ({'; '.join(dict.fromkeys(seen))})" if seen else ""
    raise not_installed(
        f"{wanted}, which {server} runs on,", f"apt-get install openjdk-{pins.JAVA}-jre-headless{found}"
    )


def _named_java() -> str | None:
    home = os.environ.get("JAVA_HOME")
    return shutil.which("java", path=str(Path(home) / "bin")) if home else None


def _java_version(path: str) -> int:
    """The major version; 0 where it cannot be had."""
    try:
        said = runner(Path("/"), None, 30)([path, "--version"])
    except Unavailable:
        return 0
    found = re.search(r"\b(\d+)(?:\.\d+)*", said)
    return int(found.group(1)) if found else 0


def _check(server: str, folder: Path, alone: bool = False) -> None:
    wanted = locked(server)
    if alone and (others := sorted({file.name for file in folder.iterdir()} - wanted.keys())):
        raise BadFile(f"fetching {server} brought {', '.join(others)}, which its lock file does not name")
    for name, digest in wanted.items():
        file = folder / name
        try:
            with file.open("rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise BadFile(f"{file} cannot be read ({error.strerror}); remove {folder} to fetch it again") from error
        if found != digest:
            raise BadFile(f"{file} is not what was locked (sha256 {found}); remove {folder} to fetch it again")


def _home(server: str) -> Path:
    return Path(__file__).with_name("java") / server
