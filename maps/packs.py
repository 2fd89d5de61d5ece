"""City packs on disk: what a pack holds, and how one appears whole or not at all.

    HOME/NAME/current              the name of the version in use; replaced in one step, under the lock HOME/.lock
    HOME/NAME/FINGERPRINT-xxxx/    one version: manifest.json, the parts as PART.npz, tiles.tar, traffic.tar,
                                   valhalla.json

A version is never changed once it has its name, so an engine that runs on it may go on when another one becomes
current.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from core.errors import BadFile, Conflict, InvalidInput, NotFound, Unavailable
from maps.roads import RoadGraph
from maps.snap import SnapGrid
from maps.tree import Tree
from maps.turns import Turns

FORMAT = 3
MANIFEST_FILE = "manifest.json"
_CURRENT_FILE = "current"
_BUILDING = ".building-"
_LOCK_FILE = ".lock"
_NAME = re.compile(r"[a-z0-9_-]{1,40}")
_RESERVED = ("data", "demo")  # they stand beside the packs where no other directory is named


class PackedFile(msgspec.Struct, frozen=True):
    """A file of a pack, as it was when the pack was made."""

    size_bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """What a pack is: where its roads come from, how many there are, and the files it consists of."""

    format: int
    name: str
    fingerprint: str
    source: str
    source_sha256: str
    valhalla: str
    nodes: int
    edges: int
    road_km: float
    connected_share: float
    bounds: tuple[float, float, float, float]
    files: dict[str, PackedFile]
    checksum: str = ""  # of the manifest itself, as it is without this field

    def sealed(self) -> Manifest:
        """The same with its checksum."""
        bare = msgspec.structs.replace(self, checksum="")
        content = msgspec.json.encode(bare, order="deterministic")
        return msgspec.structs.replace(self, checksum=hashlib.sha256(content).hexdigest())


def check_name(name: str) -> None:
    """Raises InvalidInput for anything but 1 to 40 of a-z, 0-9, _ and -, and for the names of data directories."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(f"{name!r} is not a city name: 1 to 40 of a-z, 0-9, _ and -", code="bad_city_name")
    if name in _RESERVED:
        raise InvalidInput(f"{name!r} cannot be a city's name: it is a data directory's", code="bad_city_name")


def pack_names(home: Path) -> list[str]:
    """The names of the cities that have a pack, sorted."""
    if not home.is_dir():
        return []
    return sorted(
        path.name for path in home.iterdir() if _NAME.fullmatch(path.name) and (path / _CURRENT_FILE).exists()
    )


def current_version(name: str, home: Path) -> Path:
    """The folder of a city's pack. Raises InvalidInput for a bad name, NotFound when there is no such city."""
    check_name(name)
    try:
        version = (home / name / _CURRENT_FILE).read_text("utf-8").strip()
    except FileNotFoundError:
        raise NotFound(f"there is no city {name!r} in {home}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(f"{home / name / _CURRENT_FILE}: cannot be read: {error}") from error
    if not re.fullmatch(r"[\w-]+", version):
        raise BadFile(f"{home / name / _CURRENT_FILE}: does not name a version of the pack")
    return home / name / version


@contextmanager
def building(home: Path) -> Iterator[Path]:
    """A folder to work in, on the file system of the packs; it disappears with all that is left in it.

    Raises Unavailable when the packs' place cannot be written, at the start or within the block.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        _sweep(home)
        work = Path(tempfile.mkdtemp(prefix=f"{_BUILDING}{os.getpid()}-", dir=home))
    except OSError as error:
        raise Unavailable(f"city packs cannot be written to {home}: {error.strerror}") from error
    try:
        yield work
    except OSError as error:
        raise Unavailable(f"the city pack cannot be written to {home}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _sweep(home: Path) -> None:
    """Remove what builds that were killed left behind."""
    for path in home.glob(f"{_BUILDING}*"):
        owner = path.name.removeprefix(_BUILDING).partition("-")[0]
        try:
            os.kill(int(owner), 0)
        except ProcessLookupError:
            shutil.rmtree(path, ignore_errors=True)
        except (OSError, ValueError):  # someone else's build, or none at all
            continue


@contextmanager
def alone(home: Path, name: str) -> Iterator[None]:
    """Wait until no other process is in such a block for the same city. Raises Unavailable."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = (home / f"{_LOCK_FILE}-{name}").open("w")
    except OSError as error:
        raise Unavailable(f"city packs cannot be written to {home}: {error.strerror}") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released with the file, so also when the process dies
        yield


def publish(made: Path, manifest: Manifest, home: Path, *, replace: bool) -> None:
    """Make the version in the folder `made` the current one of a city. Raises Conflict when it has one already."""
    (made / MANIFEST_FILE).write_bytes(
        msgspec.json.format(msgspec.json.encode(manifest.sealed(), order="deterministic"))
    )
    city = home / manifest.name
    version = city / f"{manifest.fingerprint}-{made.name}"
    pointer = made.with_name(_CURRENT_FILE)
    pointer.write_text(version.name + "\n", "utf-8")
    with (home / _LOCK_FILE).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released with the file, so also when the process dies
        previous = (city / _CURRENT_FILE).read_text("utf-8").strip() if (city / _CURRENT_FILE).exists() else ""
        if previous and not replace:
            raise already_there(manifest.name)
        city.mkdir(exist_ok=True)
        os.replace(made, version)
        os.replace(pointer, city / _CURRENT_FILE)
        # an engine may still run on the previous version; older ones are not worth their room
        for path in city.iterdir():
            if path.is_dir() and path.name not in (version.name, previous):
                shutil.rmtree(path, ignore_errors=True)


def already_there(name: str) -> Conflict:
    """The error of a build whose name is taken."""
    return Conflict(f"the city {name!r} exists already; say --replace to build it anew", code="city_exists")


def describe(folder: Path, *names: str) -> dict[str, PackedFile]:
    """Size and checksum of files in a folder."""
    return {name: PackedFile((folder / name).stat().st_size, sha256_of(folder / name)) for name in names}


def read_manifest(version: Path) -> Manifest:
    """The manifest of a version. Raises BadFile when it is damaged or made by another release."""
    path = version / MANIFEST_FILE
    again = "build it again: hexcab city add NAME --pbf FILE --replace"
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise BadFile(f"{path}: the city pack is damaged ({error}); {again}") from error
    if manifest.format != FORMAT:
        raise BadFile(f"{path}: the city pack has format {manifest.format}, this release reads {FORMAT}; {again}")
    if manifest != manifest.sealed():
        raise BadFile(f"{path}: the city pack is damaged (its checksum is wrong); {again}")
    return manifest


def verify(version: Path, manifest: Manifest) -> None:
    """Raises BadFile naming the first file of a pack that is not what it was when the pack was made."""
    for name, expected in manifest.files.items():
        path = version / name
        if not path.is_file() or path.stat().st_size != expected.size_bytes or sha256_of(path) != expected.sha256:
            raise BadFile(
                f"{path}: the city pack is damaged; build it again: hexcab city add NAME --pbf FILE --replace"
            )


def sha256_of(path: Path) -> str:
    """The checksum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was worked out of an extract once, so that an engine need not: roads, turns, their tree, the snap grid."""

    roads: RoadGraph
    turns: Turns
    tree: Tree
    grid: SnapGrid


_PARTS: dict[str, type[RoadGraph | Turns | Tree | SnapGrid]] = {
    "roads": RoadGraph,
    "turns": Turns,
    "tree": Tree,
    "grid": SnapGrid,
}
PART_FILES = tuple(f"{name}.npz" for name in _PARTS)


def save_parts(prepared: Prepared, folder: Path) -> None:
    """Write the parts into a version."""
    for name in _PARTS:
        part = getattr(prepared, name)
        arrays = {field.name: getattr(part, field.name) for field in fields(part)}
        if name == "roads":
            arrays["names"] = np.frombuffer("\0".join(prepared.roads.names).encode(), dtype=np.uint8)
        np.savez(folder / f"{name}.npz", allow_pickle=False, **arrays)


def load_parts(version: Path) -> Prepared:
    """Read the parts of a version. Raises BadFile."""
    parts: dict[str, Any] = {}
    for name, kind in _PARTS.items():
        path = version / f"{name}.npz"
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays: dict[str, Any] = {field.name: stored[field.name] for field in fields(kind)}
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise BadFile(f"{path}: cannot be read: {error}") from error
        if name == "roads":
            arrays["names"] = tuple(arrays["names"].tobytes().decode().split("\0"))
        parts[name] = kind(**arrays)
    return Prepared(**parts)
