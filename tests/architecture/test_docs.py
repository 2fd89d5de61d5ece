"""The documents name what is there: every setting with its default, and no file that does not exist."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from runtime.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
SECTIONS = msgspec.structs.fields(Settings)


def _shown(value: object) -> str:
    """A default as the tables write it: as TOML would, whole numbers without a point."""
    if isinstance(value, bool):
        return str(value).lower()
    if value in ("", ()):
        return '""' if value == "" else "[]"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.name)
def test_operations_lists_every_setting_with_its_default_and_no_other(section: msgspec.structs.FieldInfo) -> None:
    text = (ROOT / "docs" / "OPERATIONS.md").read_text("utf-8")
    _, found, rest = text.partition(f"\n### [{section.name}]\n")
    assert found, f"docs/OPERATIONS.md has no table of the section {section.name}"
    table = re.split(r"\n#", rest, maxsplit=1)[0]
    listed = dict(re.findall(r"^\| `(\w+)` \| (\S+) \|", table, re.MULTILINE))
    assert listed == {field.name: _shown(field.default) for field in msgspec.structs.fields(section.type)}


def test_architecture_names_only_files_that_exist() -> None:
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text("utf-8")
    named = set(re.findall(r"`([\w./-]+\.(?:py|md|toml|js|html|css))`", text))
    assert named, "the page names files in backticks"
    assert not sorted(name for name in named if not (ROOT / name).is_file())
