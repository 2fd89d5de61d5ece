"""The segments of the city: the table that all processes share, and what operators and the load do to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from core.clock import Clock
from core.events import Event
from core.geo import LatLng
from maps import segments
from maps.knownsegments import KnownSegments
from maps.neighbours import Surroundings
from maps.ports import SegmentStore
from maps.segmenttable import SegmentTable, parent_of

Change = Callable[[SegmentTable], SegmentTable]


class SegmentDesk:
    """Segments for every room of this process. `known` is what the process knows, `wall` the real time.

    `refresh` is called at the start, by a SegmentsChanged event and every `look_s`, as events may be late.
    """

    def __init__(self, store: SegmentStore, known: KnownSegments, wall: Clock) -> None:
        self.known = known
        self._store = store
        self._wall = wall

    async def refresh(self) -> None:
        """Take over a table that was made anywhere, and place drivers by it once its time has come.

        Raises Unavailable; the time comes all the same.
        """
        self.known.advance()
        asked_at = self.known.seconds()
        if await self._store.version() > self.known.newest.version:
            self.known.learn(await self._store.load())
        self.known.confirm(asked_at)

    async def heard(self, _event: Event) -> None:
        """Somebody has changed segments. Raises Unavailable."""
        await self.refresh()

    async def sure(self) -> None:
        """Return when no driver can be placed by a table that is not known here. Raises Unavailable."""
        if self.known.unsure:
            await self.refresh()

    @property
    def newest(self) -> SegmentTable:
        """The newest table."""
        return self.known.newest

    @property
    def version(self) -> int:
        """The version of the newest table."""
        return self.known.newest.version

    def at(self, place: LatLng) -> int:
        """The segment of a place."""
        return self.known.newest.locate(*place)

    def around(self, segment: int, most_m: float) -> Surroundings:
        """Where drivers within `most_m` of a segment may be placed; `segment` may be one of an earlier version."""
        return self.known.around(segment, most_m)

    def as_now(self, counts: Mapping[int, int]) -> dict[int, int]:
        """Counts by segments of any version, by those of the newest: each goes to the segment at its middle."""
        moved: Counter[int] = Counter()
        for segment, count in counts.items():
            moved[self.known.newest.now_at(segment)] += count
        return dict(moved)

    async def change(self, change: Change) -> SegmentTable:
        """Make the next version of the newest table; it is the newest here on return, and a moment later everywhere.

        Raises what `change` raises, Conflict when another has changed segments meanwhile, TooMany when too many tables
        stand, Unavailable. A change that returns its table as it was makes no version.
        """
        await self.refresh()
        newest = self.known.newest
        changed = change(newest)
        if changed != newest:
            await self._store.save(replace(changed, version=newest.version + 1), self._wall.now())
            await self.refresh()
        return self.known.newest

    def neighbours(self, segment: int) -> tuple[int, ...]:
        """The segments that share a border with a segment of the newest table."""
        return self.known.neighbours(segment)

    # operators: what they have cut stays so until they unpin it

    async def split(self, segment: int) -> Sequence[int]:
        """Put its children, pinned, in the place of a segment; returns them. Raises as `change`, NotFound, Conflict."""
        await self.change(lambda table: table.splitting(segment).pinning(*segments.children_of(segment)))
        return segments.children_of(segment)

    async def merge(self, segment: int) -> Sequence[int]:
        """Put its parent, pinned, in the place of all that is within the parent. Raises as `split`."""
        await self.change(lambda table: table.merging(segment).pinning(parent_of(segment)))
        return [parent_of(segment)]

    async def pin(self, segment: int) -> Sequence[int]:
        """From now on only operators cut this segment. Raises as `split`."""
        await self.change(lambda table: table.pinning(segment))
        return [segment]

    async def unpin(self, segment: int) -> Sequence[int]:
        """From now on the load may cut this segment. Raises as `split`."""
        await self.change(lambda table: table.unpinning(segment))
        return [segment]
