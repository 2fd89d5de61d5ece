"""The Java servers' files: pinned, checked, fetched once."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from core.errors import BadFile, Unavailable
from runtime.services import jars
from runtime.services.jars import VERSIONS, class_path, find_java, have_jars, jar_folder, locked
from runtime.services.places import default_cache
from tests.servers.running import Servers

SERVERS = list(VERSIONS)


def forbidden(server: str, folder: Path) -> None:
    raise AssertionError("nothing is fetched")


def nothing_said(line: str) -> None:
    assert line


@pytest.mark.parametrize("server", SERVERS)
def test_every_locked_file_has_a_sum_and_the_server_its_pinned_version(server: str) -> None:
    files = locked(server)
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in files.values())
    assert any(VERSIONS[server] in name and server in name for name in files)


@pytest.mark.parametrize("server", SERVERS)
def test_the_pom_leaves_the_version_to_the_pins(server: str) -> None:
    text = Path(jars.__file__).with_name("java").joinpath(server, "pom.xml").read_text()
    assert text.count("<version>${server.version}</version>") == 1
    assert VERSIONS[server] not in text


def test_a_fetch_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fails(server: str, folder: Path) -> None:
        (folder / "half.jar").write_bytes(b"half")
        raise Unavailable("the network is away")

    with pytest.raises(Unavailable, match="the network is away"):
        have_jars("kafka", tmp_path, fails, nothing_said)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_what_was_locked_is_refused_and_not_kept(tmp_path: Path) -> None:
    def forged(server: str, folder: Path) -> None:
        for name in locked(server):
            (folder / name).write_bytes(b"something else")

    with pytest.raises(BadFile, match="is not what was locked"):
        have_jars("kafka", tmp_path, forged, nothing_said)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_nobody_locked_is_refused(tmp_path: Path) -> None:
    def more(server: str, folder: Path) -> None:
        (folder / "surprise.jar").write_bytes(b"!")

    with pytest.raises(BadFile, match=r"surprise\.jar, which its lock file does not name"):
        have_jars("kafka", tmp_path, more, nothing_said)


def test_a_missing_file_of_the_cache_is_named(tmp_path: Path) -> None:
    folder = jar_folder("kafka", tmp_path)
    folder.mkdir()
    with pytest.raises(BadFile, match=f"remove {folder}"):
        have_jars("kafka", tmp_path, forbidden, nothing_said)


def test_only_locked_files_are_on_the_class_path(tmp_path: Path) -> None:
    names = [Path(each).name for each in class_path("kafka", tmp_path, None).split(":")]
    assert names == list(locked("kafka"))


def test_a_java_that_does_not_fit_is_told_with_what_was_found() -> None:
    with pytest.raises(Unavailable, match=r"Java 99.*apt-get install openjdk") as refused:
        find_java("kafka", lambda version: version == 99, "Java 99")
    assert refused.value.code == "not_installed"


@pytest.mark.slow
@pytest.mark.parametrize("server", SERVERS)
def test_the_second_start_fetches_nothing_and_finds_a_changed_byte(
    servers: Servers, server: str, tmp_path: Path
) -> None:
    servers.running(server)  # the files are there now
    assert have_jars(server, default_cache(), forbidden, nothing_said) == jar_folder(server, default_cache())
    copied = shutil.copytree(jar_folder(server, default_cache()), jar_folder(server, tmp_path))
    assert have_jars(server, tmp_path, forbidden, nothing_said) == copied
    victim = copied / next(iter(locked(server)))
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)
    with pytest.raises(BadFile, match=str(victim)):
        have_jars(server, tmp_path, forbidden, nothing_said)
