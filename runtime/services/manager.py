"""Services of one directory: bring them up, take them down, say how they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import msgspec

from core.errors import HexcabError, InvalidInput, NotFound, Unavailable
from runtime.services import processes
from runtime.services.kinds import KINDS
from runtime.services.model import Entry, Kind, Say, Site
from runtime.services.places import default_cache, make_folder
from runtime.services.starting import Starter
from runtime.services.state import State
from runtime.services_settings import ServicesSettings


class NodeStatus(msgspec.Struct, frozen=True):
    """One process of a service; `pid` is 0 when it does not run."""

    name: str
    up: bool
    address: str
    pid: int


class ServiceStatus(msgspec.Struct, frozen=True):
    """A service; `up`: every node answers and they work as one. Without an address it was never set up here."""

    up: bool
    version: str | None
    address: str | None  # host:port of each node, joined by commas
    nodes: tuple[NodeStatus, ...] = ()


class Services:
    """The servers of one directory, which remembers them: they outlive whoever started them."""

    def __init__(
        self,
        folder: Path,
        settings: ServicesSettings | None = None,
        cache: Path | None = None,
        kinds: Mapping[str, Kind] = KINDS,
    ) -> None:
        self.folder = folder.absolute()
        self._all = kinds
        self._settings = settings or ServicesSettings()
        self._cache = (cache or default_cache()).absolute()

    def up(self, names: Iterable[str] | None = None, nodes: int | None = None, say: Say = lambda _: None) -> None:
        """Start what does not run of these services, on the data and the ports they had, and wait until all answer.

        `nodes` is how many processes a new Kafka or Cassandra has; None: one, or as many as it was made with.
        Raises InvalidInput for an unknown name or number, Unavailable with code not_installed, naming everything that
        is missing, before anything is started; otherwise, once every start has ended, the errors of those that failed.
        """
        kinds = self._kinds(names)
        if nodes is not None and not 1 <= nodes <= self._settings.max_nodes:
            raise InvalidInput(f"a service has 1 to {self._settings.max_nodes} nodes, not {nodes}")
        self._make()
        starter = self._starter(say)
        with starter.state.held(self._settings.busy_timeout_s):
            versions = self._find(kinds, say)
            tasks = [partial(starter.bring_up, kind, versions[kind.name], nodes) for kind in kinds]
            _all(tasks, starter.cancelled.set)

    def down(self, names: Iterable[str] | None = None, say: Say = lambda _: None) -> None:
        """Stop these services, whoever started them here, and wait until nothing of them runs; their data stays."""
        kinds = self._kinds(names)
        if not self.folder.is_dir():
            return
        state = State(self.folder)
        with state.held(self._settings.busy_timeout_s):
            running: list[tuple[Kind, Entry]] = [(kind, e) for kind in kinds if (e := state.get(kind.name))]
            nodes = [(node, kind.stop) for kind, entry in running for node in entry.nodes if processes.alive(node)]
            for node, _ in nodes:
                say(f"{node.name}: stopping")
            processes.stop(nodes, self._settings.stop_timeout_s)
            if left := [node.name for node, _ in nodes if processes.alive(node)]:
                raise Unavailable(f"{', '.join(left)} cannot be stopped")
            for kind, entry in running:
                off = tuple(msgspec.structs.replace(node, pid=0, birth="") for node in entry.nodes)
                state.put(kind.name, msgspec.structs.replace(entry, nodes=off))

    def status(self, names: Iterable[str] | None = None) -> dict[str, ServiceStatus]:
        """How these services are now; asks every node."""
        kinds = self._kinds(names)
        starter = self._starter(lambda _: None)
        with ThreadPoolExecutor(len(kinds)) as pool:
            found = pool.map(lambda kind: _status(kind, starter.sites(kind)), kinds)
            return {kind.name: status for kind, status in zip(kinds, found, strict=True)}

    def url(self, name: str) -> str:
        """What an engine's setting takes to reach a service, its password included. Raises NotFound."""
        kind = self._kinds([name])[0]
        entry = State(self.folder).get(name) if self.folder.is_dir() else None
        if entry is None:
            raise NotFound(f"{name} was never up in {self.folder}")
        return kind.url(entry)

    def sites(self, name: str) -> list[Site]:
        """The nodes of a service, for whoever has to ask them more. Empty where it was never up."""
        return self._starter(lambda _: None).sites(self._kinds([name])[0])

    def _kinds(self, names: Iterable[str] | None) -> list[Kind]:
        wanted = list(self._all if names is None else dict.fromkeys(names))
        if unknown := [name for name in wanted if name not in self._all]:
            raise InvalidInput(f"no service is called {', '.join(unknown)}; there are {', '.join(self._all)}")
        return [self._all[name] for name in wanted]

    def _make(self) -> None:
        try:
            if not self.folder.is_dir() or not any(self.folder.iterdir()):
                make_folder(self.folder, None, 0o711)  # those who run the servers pass through and see nothing
            (self.folder / "logs").mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise Unavailable(f"{self.folder} cannot be used: {error.strerror}") from error

    def _starter(self, say: Say) -> Starter:
        return Starter(self.folder, self._cache, State(self.folder), self._settings, say)

    def _find(self, kinds: Sequence[Kind], say: Say) -> dict[str, str]:
        versions: dict[str, str] = {}
        missing: list[str] = []
        for kind in kinds:
            try:
                versions[kind.name] = kind.find(self._cache, self._settings, say)
            except Unavailable as error:
                if error.code != "not_installed":
                    raise
                missing.append(error.detail)
        if missing:
            raise Unavailable("; ".join(dict.fromkeys(missing)), code="not_installed")
        return versions


def _all(tasks: Sequence[Callable[[], None]], cancel: Callable[[], None]) -> None:
    """Run all at the same time, to their ends; then raise what failed."""
    with ThreadPoolExecutor(max(1, len(tasks))) as pool:
        try:
            futures = [pool.submit(task) for task in tasks]
            errors = [error for future in futures if (error := future.exception())]
        except BaseException:  # Ctrl-C
            cancel()
            raise
    if len(errors) == 1 or any(not isinstance(error, HexcabError) for error in errors):
        raise errors[0]
    if errors:
        raise Unavailable("; ".join(str(error) for error in errors))


def _status(kind: Kind, sites: Sequence[Site]) -> ServiceStatus:
    if not sites:
        return ServiceStatus(False, None, None)
    nodes = tuple(_node_status(kind, site) for site in sites)
    entry = sites[0].entry
    return ServiceStatus(all(node.up for node in nodes) and kind.whole(sites), entry.version, entry.address, nodes)


def _node_status(kind: Kind, site: Site) -> NodeStatus:
    alive = processes.alive(site.node)
    return NodeStatus(site.node.name, alive and kind.ready(site), site.node.address, site.node.pid if alive else 0)
