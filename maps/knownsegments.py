"""The segments as one process knows them: by which tables it looks for drivers, and by which it places them.

A change of the table reaches processes at different moments, so it rolls out in steps, and no driver is lost meanwhile:

1. Readers read by the new table and by every earlier one that stands, from the moment they hear of it.
2. Writers go on with the table that they had for `switch_s`, and then place all their drivers by the new one.
3. The store forgets an earlier table `retire_s` after it was replaced, at the next change.

A reader that has not asked for new tables for half of `switch_s` must ask before it reads (`unsure`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from maps.neighbours import Neighbours, Shapes, Surroundings, surroundings
from maps.segmenttable import SegmentTable
from runtime.segment_settings import SegmentSettings

_KEPT = 2_000  # surroundings, of a megabyte in ten


class KnownSegments:
    """`newest` is what is told to the outside and read by; `placing` is what drivers are placed by.

    `seconds` is a clock that is never set, such as time.monotonic.
    """

    def __init__(self, settings: SegmentSettings, seconds: Callable[[], float]) -> None:
        self._settings = settings
        self.seconds = seconds
        self._shapes = Shapes()
        self._on_switch: list[Callable[[SegmentTable], None]] = []
        self._learned_at = self._confirmed_at = seconds()
        self._around: dict[tuple[int, float], Surroundings] = {}
        self._all: tuple[Neighbours, ...] = (Neighbours(SegmentTable(), self._shapes),)
        self.newest = self.placing = SegmentTable()

    def on_switch(self, place_again: Callable[[SegmentTable], None]) -> None:
        """Call this when drivers are to be placed by another table from now on."""
        self._on_switch.append(place_again)

    @property
    def unsure(self) -> bool:
        """Whether others may place drivers by a table that is not known here."""
        return self.seconds() - self._confirmed_at > self._settings.switch_s / 2

    @property
    def rolling(self) -> bool:
        """Whether drivers are still placed by an earlier table."""
        return self.placing is not self.newest

    def learn(self, tables: Sequence[SegmentTable]) -> None:
        """Take over the tables that stand, the newest first. A process that has just begun places by the one before."""
        if tables[0].version <= self.newest.version:
            return
        first = self.newest.version == SegmentTable().version and len(tables) > 1
        self._all = tuple(Neighbours(table, self._shapes) for table in tables)
        self._around.clear()
        self._learned_at = self.seconds()
        self.newest = tables[0]
        if first:
            self._place_by(tables[1])

    def confirm(self, asked_at: float) -> None:
        """The tables that stood at this time, of `seconds`, are known."""
        self._confirmed_at = max(self._confirmed_at, asked_at)

    def advance(self) -> None:
        """Place drivers by the newest table, once every reader must have heard of it."""
        if self.rolling and self.seconds() - self._learned_at >= self._settings.switch_s:
            self._place_by(self.newest)

    def locate(self, lat: float, lng: float) -> int:
        """The segment in which a driver at this point is placed."""
        return self.placing.locate(lat, lng)

    def neighbours(self, segment: int) -> tuple[int, ...]:
        """The segments that share a border with a segment of the newest table."""
        return self._all[0].touching(segment)

    def around(self, segment: int, most_m: float) -> Surroundings:
        """Every segment, of any table that stands, in which somebody within `most_m` of a segment may be placed."""
        known = self._around.get((segment, most_m))
        if known is None:
            if len(self._around) >= _KEPT:
                self._around.clear()
            cells = (cell for each in self._all for cell in each.within(segment, most_m))
            known = self._around[segment, most_m] = surroundings(segment, cells, self._shapes, most_m)
        return known

    def _place_by(self, table: SegmentTable) -> None:
        self.placing = table
        for place_again in self._on_switch:
            place_again(table)
