"""Helper programs and logs: what is told of a failure is the line that explains it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from core.errors import Unavailable
from runtime.services.processes import last_words, runner, start


def words(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_helper_gives_what_it_printed_and_sees_nothing_of_our_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGHOST", "elsewhere")
    run = runner(tmp_path, None, 20.0)
    code = "import os, sys; print(os.environ.get('PGHOST'), os.environ['WORD'], os.getcwd(), sys.stdin.read())"
    assert run(words(code), text="in", env={"WORD": "secret"}) == f"None secret {tmp_path} in\n"


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("print('one'); print('Error: no room'); print('see the manual'); sys.exit(3)", "Error: no room"),
        (
            "print('fine'); print('\\x1b[1;31m[ERROR]\\x1b[m no network', file=sys.stderr); sys.exit(3)",
            "[ERROR] no network",
        ),
        ("print('one'); print('two'); sys.exit(3)", "two"),
        ("print('\\x1b[0m'); sys.exit(3)", "it said nothing"),
    ],
)
def test_a_helper_that_fails_is_told_by_the_line_that_explains_it(tmp_path: Path, code: str, told: str) -> None:
    with pytest.raises(Unavailable) as refused:
        runner(tmp_path, None, 20.0)(words(f"import sys; {code}"))
    assert refused.value.detail == f"{Path(sys.executable).name} failed with code 3: {told}"


def test_a_helper_that_hangs_is_ended(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"did not end within 0\.2 s"):
        runner(tmp_path, None, 0.2)(words("import time; time.sleep(60)"))


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    with pytest.raises(Unavailable, match=missing):
        runner(tmp_path, None, 1.0)([missing])
    with pytest.raises(Unavailable, match=missing):
        start([missing], tmp_path, None, tmp_path / "log")


def test_the_last_words_of_a_log_are_the_last_complaint(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert last_words(log) == "it said nothing"
    log.write_text("starting\n\nready\n\n")
    assert last_words(log) == "ready"
    log.write_text("x\n" * 20_000 + "FATAL: first\nFATAL: second\nbye\n")
    assert last_words(log) == "FATAL: second"
