"""A kind of server for tests: a Python process that says ready, refuses to start, or never answers."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from core.errors import Unavailable
from runtime.services.model import Entry, NodePlan, Say, Site, not_installed
from runtime.services_settings import ServicesSettings

_SERVE = """
import pathlib, socket, sys, time
if not pathlib.Path("data").exists(): sys.exit("there is no data")
server = socket.create_server((sys.argv[1], int(sys.argv[2])), reuse_port=False)
print("listening", flush=True)
while True: server.accept()[0].close()
"""
_END = "import sys; print('at first'); sys.exit('FATAL: it cannot be')"
_HANG = "import time; print('thinking', flush=True); time.sleep(3600)"


class FakeKind:
    """`scripts` are run one after the other, the last one for good, whenever a node is started."""

    accounts: tuple[str, ...] = ("root",)  # the interpreter of the tests may be closed to others
    stop = signal.SIGTERM
    apart = False

    def __init__(self, name: str = "fake", scripts: Sequence[str] = ("serve",), installed: bool = True) -> None:
        self.name = name
        self.installed = installed
        self.scripts = list(scripts)
        self.prepare_fails = 0
        self.prepared = 0

    def find(self, cache: Path, settings: ServicesSettings, say: Say) -> str:
        if not self.installed:
            raise not_installed(self.name, f"apt-get install {self.name}")
        return "1.2"

    def plan(self, nodes: int) -> tuple[NodePlan, ...]:
        return tuple(NodePlan(f"{self.name}-{number}", "127.0.0.1", ("main",)) for number in range(nodes))

    def prepare(self, site: Site) -> None:
        self.prepared += 1
        (site.folder / "half").mkdir()  # fails where a broken try was not cleared away
        if self.prepared <= self.prepare_fails:
            raise Unavailable("no data today")
        site.write(site.folder / "data", "new")

    def command(self, site: Site) -> list[str]:
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        code = {"serve": _SERVE, "end": _END, "hang": _HANG}[script]
        return [sys.executable, "-c", code, site.node.host, str(site.node.ports["main"])]

    def ready(self, site: Site) -> bool:
        try:
            socket.create_connection((site.node.host, site.node.ports["main"]), 5).close()
        except OSError:
            return False
        return True

    def whole(self, sites: Sequence[Site]) -> bool:
        return True

    def join(self, sites: Sequence[Site]) -> None:
        pass

    def url(self, entry: Entry) -> str:
        return f"fake://{entry.secret}@{entry.address}"
