"""Rules of the house that no linter knows."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOT_ROOMS = {"tests", "benchmarks"}
ROOMS = [file.parent.name for file in ROOT.glob("*/__init__.py") if file.parent.name not in NOT_ROOMS]
SOURCES = sorted(file for room in ROOMS for file in (ROOT / room).rglob("*.py") if "versions" not in file.parts)
_STANDARD_NAMES = {"platform", "signal", "queue", "types", "calendar"}


def _functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_files_and_functions_fit_a_reader(file: Path) -> None:
    text = file.read_text("utf-8")
    assert text.count("\n") <= 300, "a file over 300 lines hides a missing part of the model"
    for function in _functions(ast.parse(text)):
        length = (function.end_lineno or function.lineno) - function.lineno + 1
        assert length <= 80, f"{function.name} has {length} lines and no longer fits a screen"


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_time_and_chance_come_through_the_clock_and_seeded_generators(file: Path) -> None:
    if file.parent.name in {"runtime", "app"}:  # the machinery and whoever starts it
        return
    text = file.read_text("utf-8")
    for forbidden in (
        r"\btime\.time\(",
        r"datetime\.now\(",
        r"datetime\.utcnow\(",
        r"\brandom\.random\(",
        r"np\.random\.(rand|randint|choice)\(",
    ):
        assert not re.search(forbidden, text), f"{forbidden} in {file.name}"


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_module_says_what_it_is_for(file: Path) -> None:
    text = file.read_text("utf-8")
    if text.strip():
        assert ast.get_docstring(ast.parse(text)), "a module starts with a sentence on what it is for"


def test_no_room_shadows_the_standard_library() -> None:
    assert not _STANDARD_NAMES & {path.name for path in ROOT.iterdir() if path.is_dir()}


def test_nothing_names_a_package_index_or_a_machine() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    hosts = re.compile(
        "|".join(
            ["py" + r"pi\.org", "registry" + r"\.npm" + "js", "pythonhosted" + r"\.org", "/wo" + "rk/", "/ro" + "ot/"]
        )
    )
    for name in filter(None, listed.split("\0")):
        file = ROOT / name
        if file.suffix in {".pbf", ".png", ".ico"} or not file.is_file():
            continue
        found = hosts.search(file.read_text("utf-8", "replace"))
        assert not found, f"{name} names {found.group() if found else ''}"


def test_every_locked_package_has_a_hash() -> None:
    for lock in (ROOT / "requirements").glob("*.txt"):
        blocks = re.split(r"\n(?=\S)", lock.read_text("utf-8"))
        for block in blocks:
            if "==" in block and not block.startswith("#"):
                assert "--hash=sha256:" in block, f"{lock.name}: {block.splitlines()[0]}"
