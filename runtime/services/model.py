"""What a kind of server says about itself, and what one node of it is."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from core.errors import Unavailable
from runtime.services.places import Account, give
from runtime.services_settings import ServicesSettings

Say = Callable[[str], None]  # what goes on, a line at a time


class Node(msgspec.Struct, frozen=True):
    """One process of a service. `pid` 0: it was stopped or has never run; `birth` tells it from a later process."""

    name: str
    host: str
    ports: dict[str, int]  # by purpose; "main" is where clients connect
    pid: int = 0
    birth: str = ""

    @property
    def address(self) -> str:
        """host:port for clients."""
        return f"{self.host}:{self.ports['main']}"


class Entry(msgspec.Struct, frozen=True):
    """A service as the directory remembers it."""

    version: str
    secret: str  # the password that its clients need, where its kind has one
    nodes: tuple[Node, ...]

    @property
    def address(self) -> str:
        """host:port of every node, joined by commas."""
        return ",".join(node.address for node in self.nodes)


class NodePlan(msgspec.Struct, frozen=True):
    """A node that has no ports yet."""

    name: str
    host: str
    ports: tuple[str, ...]  # purposes


@dataclass(frozen=True, slots=True)
class Site:
    """Everything that starting or asking one node needs."""

    node: Node
    entry: Entry
    folder: Path  # of this node alone; belongs to the account that runs it
    account: Account | None  # None: we run it as ourselves
    run: Runner  # helper programs, as that account, in the folder
    cache: Path  # what was fetched once for all directories
    settings: ServicesSettings

    def write(self, file: Path, text: str) -> None:
        """Write a file that only the node reads."""
        file.touch(mode=0o600)
        give(file, self.account)
        file.write_text(text, "utf-8")


class Kind(Protocol):
    """One kind of server: where it comes from, how a node is made, started, asked and addressed.

    `accounts` are the system users that may run it when we are root; `stop` is the signal of an orderly and quick end.
    `apart` says that nodes have to start one after the other.
    """

    name: str
    accounts: tuple[str, ...]
    stop: signal.Signals
    apart: bool

    def find(self, cache: Path, settings: ServicesSettings, say: Say) -> str:
        """The version that `up` would run, fetching it where possible. Raises Unavailable, code not_installed."""

    def plan(self, nodes: int) -> tuple[NodePlan, ...]:
        """The nodes of a new service; `nodes` is ignored by a kind that has one size."""

    def prepare(self, site: Site) -> None:
        """Make the data of a new node. Called again after a failure, on an empty folder."""

    def command(self, site: Site) -> list[str]:
        """What starts the node in the foreground, after writing its configuration."""

    def ready(self, site: Site) -> bool:
        """Whether the node answers its clients."""

    def whole(self, sites: Sequence[Site]) -> bool:
        """Whether the nodes, which are all ready, work as one."""

    def join(self, sites: Sequence[Site]) -> None:
        """Make one service of nodes that are not whole; harmless where they only need time."""

    def url(self, entry: Entry) -> str:
        """What the setting of an engine takes, the password included."""


class Runner(Protocol):
    """Runs a helper program as the account of a node, in its folder."""

    def __call__(self, words: list[str], *, text: str = "", env: dict[str, str] | None = None) -> str:
        """What it printed. `text` goes to its input, `env` to its environment, such as a password.

        Raises Unavailable with its last words when it fails.
        """


class OneNode:
    """What kinds of one node have in common."""

    stop = signal.SIGTERM
    apart = False

    def whole(self, sites: Sequence[Site]) -> bool:
        """One node is whole by itself."""
        return True

    def join(self, sites: Sequence[Site]) -> None:
        """Nothing to join."""


def not_installed(what: str, remedy: str) -> Unavailable:
    """The error of a server that this machine does not have."""
    return Unavailable(f"{what} is not installed: {remedy}", code="not_installed")
