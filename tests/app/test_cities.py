"""The city that a command starts with."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from app.cities import ready_city
from core.errors import NotFound
from maps.packs import alone
from runtime.settings import MapSettings


@pytest.mark.slow
def test_commands_that_start_together_build_the_bundled_city_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEXCAB_HOME", str(tmp_path))
    fingerprints = []

    def start() -> None:
        fingerprints.append(ready_city("gothenburg", MapSettings(), quiet=True).pack_dir.name)

    starts = [threading.Thread(target=start) for _ in range(3)]
    for each in starts:
        each.start()
    for each in starts:
        each.join()
    assert len(fingerprints) == 3
    assert len(set(fingerprints)) == 1
    assert len([path for path in (tmp_path / "gothenburg").iterdir() if path.is_dir()]) == 1


def test_who_waits_for_a_build_goes_on_after_it(tmp_path: Path) -> None:
    order: list[str] = []
    begun = threading.Event()

    def second() -> None:
        begun.set()
        with alone(tmp_path, "town"):
            order.append("second")

    waiting = threading.Thread(target=second)
    with alone(tmp_path, "town"):
        waiting.start()
        begun.wait(5)
        with alone(tmp_path, "another"):
            order.append("first")
    waiting.join(5)
    assert order == ["first", "second"]


def test_a_city_that_is_not_bundled_is_not_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEXCAB_HOME", str(tmp_path))
    with pytest.raises(NotFound, match="hexcab city add atlantis"):
        ready_city("atlantis", MapSettings())
