"""The roll of this host: who hangs on it, told to presence in batches, and told again whenever that may be lost.

Connections never wait for it. While Redis is away everything here goes on; what is to be told is kept as one wish per
driver or rider, and told when Redis is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Protocol

from core.errors import HexcabError, Unavailable
from runtime.host_settings import HostSettings
from runtime.presence import Arrival, Arrived, Departure, Host, Kind, Presence, Subject

_log = logging.getLogger("hexcab.presence")


class Listener(Protocol):
    """Who hears what became of a connection."""

    def owns(self, subject_id: str, epoch: int) -> None:
        """The connection here is the newest, and has this epoch."""
        ...

    def lost(self, subject_id: str, epoch: int) -> None:
        """There is a connection of this epoch on another host: one of a lower epoch here is over."""
        ...

    def gone(self, subject_id: str) -> None:
        """The connection here was the newest, and it is gone: nothing is left."""
        ...


class Deaf:
    """A Listener that needs to hear nothing, as a rider's sockets do."""

    def owns(self, subject_id: str, epoch: int) -> None: ...

    def lost(self, subject_id: str, epoch: int) -> None: ...

    def gone(self, subject_id: str) -> None: ...


Replaced = Callable[[Host, Subject, int], Awaitable[object]]


class _Member:
    """Somebody who hangs here, or did until a moment ago."""

    __slots__ = ("epoch", "new", "turn", "wanted")

    def __init__(self) -> None:
        self.turn = 0  # grows with each join and leave, so that an answer to an older question is known as such
        self.wanted = False
        self.new = False  # needs an epoch of its own
        self.epoch = 0  # as presence has it, 0 where it does not


class Roll:
    """Tells presence who hangs here. `replaced` tells another host that a driver of its has come here."""

    def __init__(
        self, presence: Presence, host: Host, replaced: Replaced, settings: HostSettings, rng: random.Random
    ) -> None:
        self.host = host
        self._presence = presence
        self._replaced = replaced
        self._settings = settings
        self._rng = rng
        self._members: dict[Subject, _Member] = {}
        self._untold: dict[Subject, None] = {}
        self._arriving: dict[Subject, asyncio.Event] = {}  # somebody waits until these are told
        self._due = asyncio.Event()
        self._listeners: dict[Kind, Listener] = {}
        self._living: dict[str, Host] = {}
        self._round: list[Subject] = []  # who is told again in this round
        self._beats = 0
        self._beat_at = 0.0  # of the loop's clock
        self._calls: set[asyncio.Task[None]] = set()
        self._away = False

    @property
    def untold(self) -> int:
        """How many arrivals and departures presence has not been told yet."""
        return len(self._untold)

    def of(self, kind: Kind) -> KindRoll:
        """The part of drivers, or of riders."""
        return KindRoll(self, kind)

    def listen(self, kind: Kind, listener: Listener) -> None:
        """Tell what becomes of these to this one."""
        self._listeners[kind] = listener

    def join(self, subject: Subject) -> None:
        """A new connection is here."""
        member = self._members.setdefault(subject, _Member())
        member.turn += 1
        member.wanted = member.new = True
        self._tell(subject)

    def leave(self, subject: Subject) -> None:
        """No connection is here any more."""
        member = self._members.get(subject)
        if member is not None and member.wanted:
            member.turn += 1
            member.wanted = member.new = False
            self._settled(subject)
            self._tell(subject)

    async def known(self, subject: Subject) -> None:
        """Wait until the other hosts can find who has joined here; not for long, and not while presence is away.

        What is read of somebody's state after this and what other hosts tell of its changes leave no gap.
        """
        member = self._members.get(subject)
        if member is None or not member.new or self._away:
            return
        told = self._arriving.setdefault(subject, asyncio.Event())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.presence_wait_s):
                await told.wait()

    def tell_again(self) -> None:
        """Presence may have lost anything: tell it of everybody."""
        self._round = []
        for subject in self._members:
            self._tell(subject)

    async def run(self) -> None:
        """Tell presence what there is to tell, until cancelled."""
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                while self._untold:
                    await self._step()
                self._away = False
            except Unavailable as error:
                self._missed(error)
                self._due.set()
                await asyncio.sleep(self._settings.beat_s * self._rng.uniform(0.5, 1.0))

    async def beat(self) -> None:
        """Give a sign of life, look who else lives, and tell some of those here anew; not while presence is away."""
        try:
            await self._beat()
        except Unavailable as error:
            self._missed(error)

    async def _beat(self) -> None:
        settings = self._settings
        known = await self._presence.beat(self.host, settings.host_expires_s)
        now = asyncio.get_running_loop().time()
        # a sign that was sent twice finds its own first: so our own silence counts, too
        silent, self._beat_at = now - self._beat_at > settings.host_expires_s, now
        if self._beats and (silent or not known):
            self.tell_again()  # we counted as dead: what we had told is reclaimed by now
        self._living = {host.id: host for host in await self._presence.hosts()}
        if self._beats % max(1, round(settings.host_expires_s / settings.beat_s)) == 0:
            await self._presence.reclaim()
        self._beats += 1
        self._round = self._round or list(self._members)
        share = -(-len(self._members) * settings.beat_s // settings.presence_again_s)
        some, self._round = self._round[: int(share)], self._round[int(share) :]
        for subject in some:
            if subject in self._members:
                self._tell(subject)

    async def close(self) -> None:
        """Tell what can be told in the time of a sign of life, and that this host is no more. End `run` before."""
        for task in self._calls:
            task.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)
        try:
            async with asyncio.timeout(self._settings.host_expires_s):
                while self._untold:
                    await self._step()
                await self._presence.retire(self.host.id)
        except (Unavailable, TimeoutError):
            _log.warning("presence is away; other hosts find out that this one is gone")

    def _missed(self, error: Unavailable) -> None:
        if not self._away:  # once per outage
            _log.warning("presence is away; arrivals wait: %s", error.detail)
        self._away = True
        for subject in list(self._arriving):
            self._settled(subject)

    def _settled(self, subject: Subject) -> None:
        told = self._arriving.pop(subject, None)
        if told is not None:
            told.set()

    def _tell(self, subject: Subject) -> None:
        self._untold[subject] = None
        self._due.set()

    async def _step(self) -> None:
        """Tell of some. Only one step runs at a time."""
        some = list(itertools.islice(self._untold, self._settings.presence_batch))
        for subject in some:
            del self._untold[subject]
        try:
            await self._come([each for each in some if each in self._members and self._members[each].wanted])
            await self._go([each for each in some if each in self._members and not self._members[each].wanted])
        except BaseException:
            for subject in some:
                if subject in self._members:
                    self._tell(subject)
            raise

    async def _come(self, subjects: list[Subject]) -> None:
        members = [self._members[subject] for subject in subjects]
        turns = [member.turn for member in members]
        asked = [0 if member.new else member.epoch for member in members]
        arrivals = [Arrival(subject, epoch) for subject, epoch in zip(subjects, asked, strict=True)]
        arrived = await self._presence.arrive(self.host.id, arrivals)
        for subject, member, turn, epoch, answer in zip(subjects, members, turns, asked, arrived, strict=True):
            if member.turn == turn:
                self._came(subject, member, epoch, answer)
            else:  # gone or new again meanwhile: that is told in the next step
                member.epoch = answer.epoch or member.epoch

    def _came(self, subject: Subject, member: _Member, asked: int, answer: Arrived) -> None:
        listener = self._listeners[subject.kind]
        self._settled(subject)
        if not answer.epoch:
            del self._members[subject]
            listener.lost(subject.id, asked + 1)
            return
        member.new, member.epoch = False, answer.epoch
        if asked:
            return
        listener.owns(subject.id, answer.epoch)
        before = self._living.get(answer.previous)
        if before is not None and before.id != self.host.id:
            task = asyncio.create_task(self._tell_replaced(before, subject, answer.epoch))
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)

    async def _go(self, subjects: list[Subject]) -> None:
        """Who was never told to presence is forgotten at once."""
        told = [subject for subject in subjects if self._members[subject].epoch]
        for subject in subjects:
            if not self._members[subject].epoch:
                del self._members[subject]
        turns = [self._members[subject].turn for subject in told]
        leaving = [Departure(subject, self._members[subject].epoch) for subject in told]
        for subject, turn, newest in zip(told, turns, await self._presence.leave(self.host.id, leaving), strict=True):
            if self._members[subject].turn == turn:
                del self._members[subject]
                if newest:
                    self._listeners[subject.kind].gone(subject.id)

    async def _tell_replaced(self, before: Host, subject: Subject, epoch: int) -> None:
        try:
            await self._replaced(before, subject, epoch)
        except HexcabError as error:  # it finds out when it writes to the supply, or tells of the driver anew
            _log.info("a host was not told that a driver has left it: %s", error.detail, extra={"host": before.id})


class KindRoll:
    """The roll of drivers, or of riders, alone."""

    def __init__(self, roll: Roll, kind: Kind) -> None:
        self._roll = roll
        self._kind = kind

    def listen(self, listener: Listener) -> None:
        """Tell what becomes of connections to this one."""
        self._roll.listen(self._kind, listener)

    def join(self, subject_id: str) -> None:
        """A new connection is here."""
        self._roll.join(Subject(self._kind, subject_id))

    def leave(self, subject_id: str) -> None:
        """No connection is here any more."""
        self._roll.leave(Subject(self._kind, subject_id))

    async def known(self, subject_id: str) -> None:
        """Wait a moment until the other hosts can find who has joined here."""
        await self._roll.known(Subject(self._kind, subject_id))
