"""HAProxy in front of edge and gateway hosts: its configuration, and a process of it for tests."""

from __future__ import annotations

import resource
import signal
import string
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from core.errors import Unavailable
from runtime.services import processes
from runtime.services.model import Node, not_installed
from runtime.services.places import account, find_program, free_ports, give, make_folder, reachable, taken
from runtime.services_settings import ServicesSettings


class Behind(NamedTuple):
    """A host behind the proxy: where it serves apps, and its internal address, whose /readyz is asked."""

    name: str
    address: str  # host:port
    internal: str  # host:port


def configuration(bind: str, edges: Sequence[Behind], gateways: Sequence[Behind], general: Sequence[str]) -> str:
    """The text of haproxy.cfg. `bind` is host:port or :port; `general` are the lines of its section `global`."""
    template = string.Template(Path(__file__).with_name("haproxy.cfg").read_text("utf-8"))
    return template.substitute(
        {
            "global": "\n".join(f"    {line}" for line in general),
            "bind": bind,
            "edges": "\n".join(map(_server, edges)),
            "gateways": "\n".join(map(_server, gateways)),
        }
    )


class Haproxy:
    """A proxy on a free loopback port that lives until `stop`; its admin socket is `admin` in its folder."""

    def __init__(self, folder: Path, edges: Sequence[Behind], gateways: Sequence[Behind]) -> None:
        self.folder = folder.absolute()
        self._edges, self._gateways = edges, gateways
        self._settings = ServicesSettings()
        self._node = Node("haproxy", "127.0.0.1", {"main": free_ports("127.0.0.1", 1)[0]})

    @property
    def address(self) -> str:
        """host:port for apps, the same over restarts."""
        return self._node.address

    @property
    def pid(self) -> int:
        """The process; 0 while it does not run."""
        return self._node.pid if processes.alive(self._node) else 0

    def start(self) -> None:
        """Start it and wait until it listens. Raises Unavailable with its log's last words; code not_installed."""
        program = find_program("haproxy")
        if program is None:
            raise not_installed("haproxy", "apt-get install haproxy")
        runs = account(("haproxy",))
        make_folder(self.folder, runs)
        reachable(self.folder, runs)
        file, log = self.folder / "haproxy.cfg", self.folder / "haproxy.log"
        general = (
            f"maxconn {_most_connections()}",
            "log stderr format raw local0 info",
            f"stats socket {self.folder / 'admin'} mode 600 level admin",
        )
        file.write_text(configuration(self.address, self._edges, self._gateways, general), "utf-8")
        give(file, runs)
        processes.runner(self.folder, runs, self._settings.tool_timeout_s)([program, "-c", "-q", "-f", str(file)])
        pid, birth = processes.start([program, "-W", "-db", "-f", str(file)], self.folder, runs, log)
        self._node = Node("haproxy", self._node.host, self._node.ports, pid, birth)
        end = time.monotonic() + self._settings.check_timeout_s
        while not taken(self._node.host, self._node.ports["main"]):
            if not self.pid or time.monotonic() > end:
                self.stop()
                raise Unavailable(f"haproxy does not listen: {processes.last_words(log)} (log: {log})")
            time.sleep(self._settings.poll_s)

    def stop(self) -> None:
        """End it at once, with every connection."""
        processes.stop([(self._node, signal.SIGTERM)], self._settings.stop_timeout_s)


def _most_connections() -> int:
    """Each needs two file descriptors, the app's and the host's; some are for the proxy itself."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 50_000 if most == resource.RLIM_INFINITY else max(100, min(50_000, most // 2 - 500))


def _server(host: Behind) -> str:
    return f"    server {host.name} {host.address} check addr {host.internal.replace(':', ' port ')}"
