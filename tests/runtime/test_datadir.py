"""The data directory where the disk is full or files are not what they were."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from core.errors import Unavailable
from runtime.datadir import DataDir


def _no_space(*_: object) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))


@pytest.mark.parametrize("call", ["ftruncate", "pwrite", "open"])
def test_a_full_disk_is_named_and_no_file_stays_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    before = _open_files()
    with monkeypatch.context() as patch, pytest.raises(Unavailable, match="No space left") as raised:
        patch.setattr(os, call, _no_space)
        with DataDir(tmp_path / "d"):
            pass
    assert raised.value.code == "disk_full"
    assert _open_files() == before
    with DataDir(tmp_path / "d"):  # and nobody holds it
        pass


def test_on_a_full_disk_the_earlier_value_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = DataDir(tmp_path)
    data.remember("city", "gothenburg")
    with monkeypatch.context() as patch, pytest.raises(Unavailable) as raised:
        patch.setattr(os, "fsync", _no_space)
        data.remember("city", "porto")
    assert raised.value.code == "disk_full"
    assert data.recall("city") == "gothenburg"
    assert [path.name for path in tmp_path.iterdir()] == ["city.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b'"\xff"', b"nul"])
def test_a_value_that_cannot_be_understood_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "city.json").write_bytes(content)
    assert DataDir(tmp_path).recall("city") is None


def test_a_value_that_may_not_be_read_is_no_value_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = DataDir(tmp_path)
    data.remember("city", "gothenburg")

    def denied(_: Path) -> bytes:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(Unavailable, match=r"city\.json.*Permission denied"):
        data.recall("city")
