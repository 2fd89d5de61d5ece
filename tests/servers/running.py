"""Servers that a test session shares."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from core.errors import Unavailable
from runtime.services import processes
from runtime.services.manager import Services, ServiceStatus
from runtime.services.model import Site

PREFIX = "hexcab-test-services-"


class Running:
    """One service that is up."""

    def __init__(self, services: Services, name: str) -> None:
        self.name = name
        self.url = services.url(name)
        self.status: ServiceStatus = services.status([name])[name]
        self.sites: list[Site] = services.sites(name)
        assert self.status.address is not None
        self.address: str = self.status.address


class Servers:
    """Starts each service at its first use; skips the test, or fails it with CI=true, where it is not installed."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._running: dict[str, Running] = {}
        self._missing: dict[str, str] = {}

    def running(self, name: str) -> Running:
        """The service, up. Tests that kill servers take some of their own instead."""
        if name not in self._running and name not in self._missing:
            try:
                self._services.up([name])
                self._running[name] = Running(self._services, name)
            except Unavailable as error:
                if error.code != "not_installed":
                    raise
                self._missing[name] = error.detail
        if name in self._missing:
            skip_or_fail(self._missing[name])
        return self._running[name]


def skip_or_fail(reason: str) -> None:
    """A machine without a server is no failure, save where everything must be tested."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def new_folder() -> Path:
    """A folder that the servers' users may enter; its name says which process has to remove it."""
    own = os.getpid()
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{own}-"))
    (folder / "owner").write_text(processes.birth(own))
    folder.chmod(0o711)
    return folder


def remove(folder: Path) -> None:
    """Stop what runs there and remove the folder."""
    Services(folder).down()
    shutil.rmtree(folder)


def remove_leftovers() -> None:
    """Do so for sessions that were killed and could not."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        owner = folder / "owner"
        if not owner.is_file() or folder.stat().st_uid != os.geteuid():
            continue
        pid = int(folder.name.removeprefix(PREFIX).split("-")[0])
        if processes.birth(pid) != owner.read_text():
            remove(folder)
