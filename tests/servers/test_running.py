"""Servers that a session shares: what happens where one is missing, and to what a killed session left behind."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from runtime.services.manager import Services
from tests.runtime.fake_kind import FakeKind
from tests.servers.running import PREFIX, Servers, new_folder, remove, remove_leftovers


@pytest.fixture
def missing(tmp_path: Path) -> Servers:
    return Servers(Services(tmp_path / "s", kinds={"fake": FakeKind(installed=False)}))


def test_a_missing_server_skips_with_what_to_install(missing: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    for _ in range(2):
        with pytest.raises(pytest.skip.Exception, match="apt-get install fake"):
            missing.running("fake")


def test_a_missing_server_fails_where_everything_must_be_tested(
    missing: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="apt-get install fake"):
        missing.running("fake")


def test_a_folder_of_a_session_that_is_gone_is_removed_and_ours_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ours, stranger = new_folder(), tmp_path / f"{PREFIX}{os.getpid()}-someone-elses"
    theirs = new_folder()
    (theirs / "owner").write_text("an earlier process with our pid")
    stranger.mkdir()  # nobody says whose it is
    remove_leftovers()
    assert sorted(tmp_path.iterdir()) == sorted([ours, stranger])
    remove(ours)
    assert list(tmp_path.iterdir()) == [stranger]
