"""The settings with which an engine uses the services that run here."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from core.errors import Conflict, Unavailable
from runtime.services.manager import Services

_FIRST_LINE: Final = "# Written by `hexcab services up`, which may write it again. Holds passwords."
# what can serve a section; the first that is there is taken
_CHOICES: Final = {
    "sql": ("postgresql", "mariadb"),
    "redis": ("redis", "redis-cluster"),
}


def write_settings(services: Services, names: Iterable[str], file: Path) -> None:
    """Write the sections of those of these services that were set up; readable by its owner alone.

    Where two could serve a section the second stands there as a comment. Raises Conflict (code settings_exist) for a
    file that was not written by this, and Unavailable when it cannot be written.
    """
    fresh = file.with_name(f"{file.name}.new")
    try:
        if file.exists() and not file.read_text("utf-8").startswith(_FIRST_LINE):
            raise Conflict(
                f"{file} was not written by `hexcab services up`; choose another file", code="settings_exist"
            )
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as stream:
            stream.write(settings_text(services, names))
        fresh.replace(file)
    except OSError as error:
        raise Unavailable(f"{file} cannot be written: {error.strerror}") from error


def settings_text(services: Services, names: Iterable[str]) -> str:
    """The file's text. The names are those of services that were set up; any others have no section."""
    there = [name for name in names if services.sites(name)]
    lines = [_FIRST_LINE]
    for section, choices in _CHOICES.items():
        if found := [name for name in choices if name in there]:
            lines += ["", f"[{section}]", f"url = {json.dumps(services.url(found[0]))}"]
            lines += [f"# {name}: url = {json.dumps(services.url(name))}" for name in found[1:]]
    if "kafka" in there:
        lines += ["", "[kafka]", f"brokers = {json.dumps(services.url('kafka'))}"]
    if "cassandra" in there:
        nodes = services.sites("cassandra")
        lines += ["", "[cassandra]", f"hosts = {json.dumps(services.url('cassandra'))}"]
        lines += [f"port = {nodes[0].node.ports['main']}", f'replication = "{min(3, len(nodes))}"']
    return "\n".join(lines) + "\n"
