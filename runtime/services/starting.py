"""Bring one service up: choose its places, make its data, start what does not run, wait until it answers."""

from __future__ import annotations

import secrets
import shutil
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from core.errors import Conflict, HexcabError, Unavailable
from runtime.services import processes
from runtime.services.model import Entry, Kind, Node, NodePlan, Say, Site
from runtime.services.places import account, free_ports, make_folder, reachable, taken
from runtime.services.state import State
from runtime.services_settings import ServicesSettings


@dataclass(frozen=True, slots=True)
class Starter:
    """Starts services of one directory; threads may share it. `cancelled` ends every wait."""

    folder: Path
    cache: Path
    state: State
    settings: ServicesSettings
    say: Say
    cancelled: threading.Event = field(default_factory=threading.Event)

    def bring_up(self, kind: Kind, version: str, nodes: int | None) -> None:
        """Start what does not run of a service, on the data and the ports that it had.

        Raises Conflict (code services_nodes) for another number of nodes than it was made with, (code port_unavailable)
        when a stranger has taken a port of it, and Unavailable with the log's place and last words.
        """
        entry = self._entry(kind, version, nodes)
        if kind.apart:
            for node in entry.nodes:
                self._ready(kind, self._running(kind, node.name))
        else:
            for site in [self._running(kind, node.name) for node in entry.nodes]:
                self._ready(kind, site)
        self._whole(kind)

    def sites(self, kind: Kind) -> list[Site]:
        """The nodes of a service that was set up."""
        entry = self.state.get(kind.name)
        if entry is None:
            return []
        return [site_of(kind, entry, node, self.folder, self.cache, self.settings) for node in entry.nodes]

    def log(self, node: Node) -> Path:
        """Where a node writes its log."""
        return self.folder / "logs" / f"{node.name}.log"

    def _entry(self, kind: Kind, version: str, nodes: int | None) -> Entry:
        entry = self.state.get(kind.name)
        if entry is None:
            plans = kind.plan(nodes or 1)
            for plan in plans:
                if (self.folder / plan.name).exists():
                    raise Conflict(f"{self.folder / plan.name} is there and was not made by this command")
            entry = Entry(version, secrets.token_urlsafe(18), placed(plans))
        elif nodes is not None and len(kind.plan(nodes)) != len(entry.nodes):
            raise Conflict(
                f"{kind.name} has {len(entry.nodes)} node(s) in {self.folder}; choose another --dir for {nodes}",
                code="services_nodes",
            )
        entry = msgspec.structs.replace(entry, version=version)
        self.state.put(kind.name, entry)
        return entry

    def _site(self, kind: Kind, name: str) -> Site:
        return next(site for site in self.sites(kind) if site.node.name == name)

    def _running(self, kind: Kind, name: str) -> Site:
        site = self._site(kind, name)
        if processes.alive(site.node):
            return site
        self._prepare(kind, site)
        return self._start(kind, site)

    def _prepare(self, kind: Kind, site: Site) -> None:
        done = site.folder / ".prepared"
        if done.exists():
            return
        self.say(f"{site.node.name}: making its data in {site.folder}")
        if site.folder.exists():  # an earlier try broke off
            shutil.rmtree(site.folder)
        make_folder(site.folder, site.account)
        reachable(site.folder, site.account)
        kind.prepare(site)
        done.touch()

    def _start(self, kind: Kind, site: Site) -> Site:
        for port in site.node.ports.values():
            if taken(site.node.host, port):
                raise Conflict(
                    f"{site.node.name} needs its port {site.node.host}:{port}, which another process has taken",
                    code="port_unavailable",
                )
        words = kind.command(site)
        self.say(f"{site.node.name}: starting")
        pid, birth = processes.start(words, site.folder, site.account, self.log(site.node))
        self.state.put_node(kind.name, msgspec.structs.replace(site.node, pid=pid, birth=birth))
        return self._site(kind, site.node.name)

    def _ready(self, kind: Kind, site: Site) -> None:
        """Wait for an answer; a process that ends at once is started again, one that never answers is stopped."""
        tries, end = 1, self._end()
        try:
            while not kind.ready(site):
                if not processes.alive(site.node):
                    if tries == self.settings.start_tries:
                        raise Unavailable(f"{site.node.name} ended at once: {self._words(site)}")
                    tries += 1
                    self._sleep(1.0)
                    site = self._start(kind, site)
                elif time.monotonic() > end:
                    patience = f"{self.settings.start_timeout_s:g} s"
                    raise Unavailable(f"{site.node.name} did not answer within {patience}: {self._words(site)}")
                self._sleep(self.settings.poll_s)
        except HexcabError:
            processes.stop([(site.node, kind.stop)], self.settings.stop_timeout_s)
            raise
        self.say(f"{site.node.name}: up at {site.node.address}")

    def _whole(self, kind: Kind) -> None:
        sites, end = self.sites(kind), self._end()
        if kind.whole(sites):
            return
        self.say(f"{kind.name}: waiting until its nodes work as one")
        kind.join(sites)
        while not kind.whole(sites):
            if time.monotonic() > end:
                raise Unavailable(f"the nodes of {kind.name} do not find each other: {self._words(sites[0])}")
            self._sleep(self.settings.poll_s)

    def _words(self, site: Site) -> str:
        log = self.log(site.node)
        return f"{processes.last_words(log)} (log: {log})"

    def _end(self) -> float:
        return time.monotonic() + self.settings.start_timeout_s

    def _sleep(self, seconds: float) -> None:
        if self.cancelled.wait(seconds):
            raise Unavailable("starting was broken off")


def placed(plans: Sequence[NodePlan]) -> tuple[Node, ...]:
    """Nodes with ports. Those that differ only by their address, as Cassandra's do, get the same ports."""
    nodes: list[Node] = []
    shared: dict[tuple[str, ...], dict[str, int]] = {}
    hosts = {plan.host for plan in plans}
    for plan in plans:
        if len(hosts) > 1 and plan.ports in shared:
            ports = shared[plan.ports]
        else:
            ports = dict(zip(plan.ports, free_ports(plan.host, len(plan.ports)), strict=True))
            shared[plan.ports] = ports
        nodes.append(Node(plan.name, plan.host, ports))
    return tuple(nodes)


def site_of(kind: Kind, entry: Entry, node: Node, folder: Path, cache: Path, settings: ServicesSettings) -> Site:
    """One node with its folder and the account that runs it."""
    own, runs = folder / node.name, account(kind.accounts)
    return Site(node, entry, own, runs, processes.runner(own, runs, settings.tool_timeout_s), cache, settings)
