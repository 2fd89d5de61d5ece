"""Presence: which driver or rider hangs on which host, and which hosts live. The newest connection of a driver wins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Protocol

Kind = Literal["driver", "rider"]


class Subject(NamedTuple):
    """Somebody with sockets."""

    kind: Kind
    id: str


class Host(NamedTuple):
    """A process of the cluster. `id` is new with every start; `address` is host:port of its internal server."""

    id: str
    address: str


class Arrival(NamedTuple):
    """Somebody has a connection on a host. `epoch` 0 asks for a new one; another says again what was said before."""

    subject: Subject
    epoch: int


class Departure(NamedTuple):
    """The connection with this epoch is gone."""

    subject: Subject
    epoch: int


class Arrived(NamedTuple):
    """The connection's place among all of the same driver or rider.

    `epoch` grows with every connection; it is 0 where a newer one on another host has taken the place of this one.
    `previous` is the other host on which a driver was before, "" where there was none or the driver had left it.
    """

    epoch: int
    previous: str


class Presence(Protocol):
    """What all hosts know of each other. Every call may raise Unavailable, and may be repeated."""

    async def arrive(self, host_id: str, arrivals: Sequence[Arrival]) -> list[Arrived]:
        """Note that these hang on the host now; a driver on this one alone, a rider perhaps on others too."""
        ...

    async def leave(self, host_id: str, departures: Sequence[Departure]) -> list[bool]:
        """Forget these, where nobody newer has come; True where that was so."""
        ...

    async def hosts_of(self, subjects: Sequence[Subject]) -> list[list[Host]]:
        """The living hosts of each, without any that did not give a sign of life in time."""
        ...

    async def subjects_of(self, host_id: str, after: Subject | None = None, limit: int = 1_000) -> list[Subject]:
        """Who hangs on a host, in order, `limit` at most; the next ones come `after` the last of these."""
        ...

    async def beat(self, host: Host, expires_s: float) -> bool:
        """A sign of life, good for so many wall seconds; False where the host counted as dead, or was not known."""
        ...

    async def hosts(self) -> list[Host]:
        """Every living host."""
        ...

    async def reclaim(self) -> int:
        """Forget who hung on hosts that are dead; returns how many. Any host may do so at any time."""
        ...

    async def retire(self, host_id: str) -> None:
        """The host goes: it counts as dead now."""
        ...


class MemoryPresence:
    """Presence in dictionaries, for the hosts of one process. `wall` counts seconds, `first` is the first epoch."""

    def __init__(self, wall: Callable[[], float], first: int = 1) -> None:
        self._wall = wall
        self._last = first
        self._held: dict[Subject, dict[str, int]] = {}  # host id -> epoch
        self._before: dict[Subject, str] = {}  # host that a driver came from
        self._here: dict[str, set[Subject]] = {}  # by host
        self._hosts: dict[str, tuple[Host, float]] = {}

    async def arrive(self, host_id: str, arrivals: Sequence[Arrival]) -> list[Arrived]:
        """Note that these hang on the host now."""
        return [self._arrive(host_id, arrival) for arrival in arrivals]

    async def leave(self, host_id: str, departures: Sequence[Departure]) -> list[bool]:
        """Forget these, where nobody newer has come."""
        left = []
        for subject, epoch in departures:
            mine = self._held.get(subject, {}).get(host_id) == epoch
            if mine:
                del self._held[subject][host_id]
                self._before.pop(subject, None)
            self._here.get(host_id, set()).discard(subject)
            left.append(mine)
        return left

    async def hosts_of(self, subjects: Sequence[Subject]) -> list[list[Host]]:
        """The living hosts of each."""
        living = {host.id: host for host in await self.hosts()}
        return [[living[each] for each in self._held.get(subject, ()) if each in living] for subject in subjects]

    async def subjects_of(self, host_id: str, after: Subject | None = None, limit: int = 1_000) -> list[Subject]:
        """Who hangs on a host, in order."""
        return sorted(each for each in self._here.get(host_id, ()) if after is None or each > after)[:limit]

    async def beat(self, host: Host, expires_s: float) -> bool:
        """A sign of life."""
        lived = any(each.id == host.id for each in await self.hosts())
        self._hosts[host.id] = (host, self._wall() + expires_s)
        return lived

    async def hosts(self) -> list[Host]:
        """Every living host."""
        return [host for host, until in self._hosts.values() if until > self._wall()]

    async def reclaim(self) -> int:
        """Forget who hung on hosts that are dead."""
        living = {host.id for host in await self.hosts()}
        dead = [host_id for host_id in self._here if host_id not in living]
        count = 0
        for host_id in dead:
            for subject in self._here.pop(host_id):
                count += self._held.get(subject, {}).pop(host_id, None) is not None
        return count

    async def retire(self, host_id: str) -> None:
        """The host goes."""
        self._hosts.pop(host_id, None)

    def lose_everything(self) -> None:
        """As a store that was started anew without its data."""
        self._held.clear()
        self._here.clear()
        self._hosts.clear()

    def _arrive(self, host_id: str, arrival: Arrival) -> Arrived:
        subject, epoch = arrival
        held = self._held.setdefault(subject, {})
        newest, holder = max(((theirs, host) for host, theirs in held.items()), default=(0, ""))
        if subject.kind == "driver":
            if epoch and newest > epoch:
                return Arrived(0, holder)
            if holder not in ("", host_id):
                self._before[subject] = holder
            held.clear()
        if not epoch:
            self._last += 1
            epoch = self._last
        self._last = max(self._last, epoch)
        held[host_id] = epoch
        self._here.setdefault(host_id, set()).add(subject)
        return Arrived(epoch, self._before.get(subject, ""))
