"""A Redis server, and what every Redis node has in common."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

from runtime.services.model import Entry, NodePlan, OneNode, Say, Site, not_installed
from runtime.services.places import find_program
from runtime.services.processes import runner
from runtime.services_settings import ServicesSettings

_REMEDY = "apt-get install redis-server"


class Redis(OneNode):
    """One server with an append-only file."""

    name = "redis"
    accounts: tuple[str, ...] = ("redis",)
    stop = signal.SIGTERM

    def find(self, cache: Path, settings: ServicesSettings, say: Say) -> str:
        """See Kind."""
        return find_redis(settings)

    def plan(self, nodes: int) -> tuple[NodePlan, ...]:
        """See Kind."""
        return (NodePlan("redis", "127.0.0.1", ("main",)),)

    def prepare(self, site: Site) -> None:
        """Redis makes its files by itself."""

    def command(self, site: Site) -> list[str]:
        """See Kind."""
        return redis_command(site, {})

    def ready(self, site: Site) -> bool:
        """See Kind."""
        return ask(site, "PING") == "PONG"

    def url(self, entry: Entry) -> str:
        """A redis:// URL."""
        return f"redis://:{entry.secret}@{entry.nodes[0].address}/0"


def find_redis(settings: ServicesSettings) -> str:
    """The version of redis-server. Raises Unavailable, code not_installed."""
    words = runner(Path("/"), None, settings.tool_timeout_s)([program("redis-server"), "--version"])
    return words.partition("v=")[2].split()[0]


def program(name: str) -> str:
    """The path of one of Redis' programs. Raises Unavailable, code not_installed."""
    path = find_program(name)
    if path is None:
        raise not_installed(name, _REMEDY)
    return path


def redis_command(site: Site, more: dict[str, str]) -> list[str]:
    """The server on its configuration, which has the password and so is no argument that everybody could see."""
    options = {
        "bind": site.node.host,
        "port": str(site.node.ports["main"]),
        "dir": str(site.folder),
        "requirepass": site.entry.secret,
        "masterauth": site.entry.secret,
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": '""',
        "maxmemory-policy": "noeviction",
        **more,
    }
    file = site.folder / "redis.conf"
    site.write(file, "".join(f"{name} {value}\n" for name, value in options.items()))
    return [program("redis-server"), str(file)]


def ask(site: Site, *words: str) -> str:
    """A node's answer to one command, or nothing where it cannot answer now; simple and bulk strings alone."""
    try:
        with socket.create_connection((site.node.host, site.node.ports["main"]), site.settings.check_timeout_s) as link:
            link.sendall(_encoded("AUTH", site.entry.secret) + _encoded(*words))
            with link.makefile("rb") as stream:
                stream.readline()
                head = stream.readline().decode().strip()
                return stream.read(int(head[1:])).decode() if head.startswith("$") else head.removeprefix("+")
    except (OSError, ValueError):
        return ""


def _encoded(*words: str) -> bytes:
    return f"*{len(words)}\r\n".encode() + b"".join(f"${len(each)}\r\n{each}\r\n".encode() for each in words)
