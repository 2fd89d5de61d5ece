"""The path of pings: judged in a batch, put into their segments, queued for the trail. The hot path of the engine."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from location.cells import Cells
from location.intake import REASONS, everywhere, judge, rules_of
from location.live import Driver, LiveDrivers
from location.messages import Position
from location.ports import CellRules, Inside, SegmentOf
from location.table import ASK, LOG, NO_ROOM, PING, SEEN, USED, PingRows
from location.trail import TrailWriter
from runtime.settings import LocationSettings

_NAN = math.nan


class PingPath:
    """Takes pings of drivers into the live table and the trail, and counts what becomes of them."""

    def __init__(
        self,
        live: LiveDrivers,
        writer: TrailWriter,
        segment_of: SegmentOf,
        settings: LocationSettings,
        *,
        inside: Inside = everywhere,
        cells: CellRules | None = None,
        seen: Callable[[Driver, float, float, float], None] | None = None,
    ) -> None:
        self._live = live
        self._writer = writer
        self._segment_of = segment_of
        self._inside = inside
        self._cells = Cells(cells)
        self._seen = seen  # who watches used pings: driver, lat, lng, now
        self._rules = rules_of(settings, live.fresh_s, seen is not None)
        self._one = np.zeros(1, dtype=PING)

    @property
    def accepted(self) -> int:
        """How many pings were used."""
        return int(self._live.tallies[1 + USED])

    @property
    def dropped(self) -> dict[str, int]:
        """How many pings were not used, by reason."""
        tallies = self._live.tallies
        return {reason: int(tallies[1 + fate]) for fate, reason in enumerate(REASONS, 1)}

    def prepare(self) -> None:
        """Compile what the first ping would wait for; some seconds, the first time on a machine."""
        self._judge(np.zeros(0, dtype=PING), 0, 0.0)

    def take(self, driver: Driver, ping: Position, now: float) -> bool:
        """Judge a ping at engine time `now` and use it.

        False when it belongs to a trip and the trail's queue is full: it is then as if it had never come.
        """
        return self.take_batch(driver, [ping], now)

    def take_batch(self, driver: Driver, pings: Sequence[Position], now: float) -> bool:
        """Take buffered pings, oldest first; False when one of them, and so all after it, could not be taken."""
        one, slot = self._one, driver.slot
        for ping in pings:
            known = [_NAN if each is None else each for each in (ping.heading, ping.speed, ping.accuracy)]
            one[0] = (slot, ping.seq, ping.ts, ping.lat, ping.lng, *known, 0, 0, 0, 0, 0)
            self.use(one, now)
            if one["fate"][0] == NO_ROOM:
                return False
        return True

    def use(self, pings: PingRows, now: float) -> None:
        """Judge rows (n,) of PING, use them, and note in each what became of it; HINT is left to the caller."""
        self._cells.check()
        room = self._writer.room
        if self._judge(pings, room, now):
            for at in np.flatnonzero(pings["fate"] == ASK).tolist():
                row = pings[at : at + 1]
                self._look(row)
                logged = int(np.count_nonzero(pings["after"] & LOG))
                self._judge(row, room - logged, now)
        for at in np.flatnonzero(pings["after"] & (LOG | SEEN)).tolist():
            self._follow(pings[at], now)
        if lost := int(np.count_nonzero(pings["fate"] == NO_ROOM)):
            self._writer.refused += lost

    def _judge(self, pings: PingRows, room: int, now: float) -> int:
        live, cells = self._live, self._cells
        undecided: int = judge(
            pings, live.rows, live.dirty, live.tallies, cells.plane, cells.keys, cells.segments, cells.states,
            self._rules, room, now,
        )  # fmt: skip
        return undecided

    def _look(self, row: PingRows) -> None:
        """Find out the place of a ping, and of its cell for the next ones."""
        lat, lng = float(row["lat"][0]), float(row["lng"][0])
        self._live.rows["asked"][row["slot"]] = 0
        row["segment"] = self._segment_of(lat, lng)
        row["inside"] = self._inside(lat, lng)
        self._cells.learn(lat, lng)

    def _follow(self, row: np.void, now: float) -> None:
        slot, seq, ts, lat, lng, heading, speed, accuracy, _, before, _, _, after = row.item()
        driver = self._live.at(slot)
        if after & LOG:
            known = [None if math.isnan(each) else each for each in (heading, speed, accuracy)]
            self._writer.add(driver, Position(seq, ts, lat, lng, *known), before)
        if after & SEEN and self._seen is not None:
            self._seen(driver, lat, lng, now)
