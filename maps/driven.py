"""How far a ride drove: its trail on the roads, with holes filled where that can be true, and how far to trust it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, Protocol

from core.geo import FloatArray, LatLng, haversine_m
from maps.matching import Matched
from maps.paths import NoRoute, Path, Paths
from maps.snap import NotOnRoad
from maps.trails import DrivenTrail, with_stands_as_places, without_jumps
from runtime.driven_settings import DrivenSettings

_SHORTER, _LONGER = 0.6, 1.3  # than its pings, a way by road

Grade = Literal["matched", "bridged", "partial", "raw", "none"]


class Matcher(Protocol):
    """Finds the roads that a trail followed. It may raise Unavailable."""

    async def __call__(self, lat: FloatArray, lng: FloatArray, at_s: FloatArray, /) -> Matched: ...


@dataclass(frozen=True, slots=True)
class Ride:
    """Where and when a ride began, and where and when it ended: None while it is under way. Epoch seconds."""

    start: LatLng
    since_s: float
    end: LatLng | None = None
    until_s: float | None = None


@dataclass(frozen=True, slots=True)
class WayDriven:
    """How far a ride went, the lines it drove in order, and how far to trust both.

    `grade`: matched = one unbroken way on the roads; bridged = holes are filled with the fastest way by road, which the
    car had the time to drive; partial = some of it is as the crow flies, beside the roads, or most of it unseen; raw =
    no road found, the pings themselves; none = nothing seen that moves, the fastest way between the ends as known.
    """

    distance_m: float
    grade: Grade
    lines: list[list[LatLng]]


class Odometer:
    """Tells how far rides went, from their trails."""

    def __init__(self, match: Matcher, paths: Paths, settings: DrivenSettings) -> None:
        self._match = match
        self._paths = paths
        self._settings = settings

    async def read(self, pings: DrivenTrail, ride: Ride) -> WayDriven:
        """How far a ride went by its pings, those of the ride alone, of any number. Raises Unavailable."""
        trail = pings
        if len(pings) > 1:
            trail = with_stands_as_places(without_jumps(pings, self._settings), self._settings)
        sheet = _Sheet(self._settings)
        if len(trail) < 2:
            return self._unseen(sheet, trail, ride)
        matched = await self._match(trail.lat, trail.lng, trail.at_s)
        if not matched.parts:
            sheet.guess(trail.points())
            return sheet.total("raw")
        self._start(sheet, trail, ride)
        sheet.guess(trail.points(0, matched.parts[0].first))
        for at, part in enumerate(matched.parts):
            if at:
                self._break(sheet, trail, matched.parts[at - 1].last, part.first, part.shape[0])
            sheet.see(part.shape, part.distance_m)
        sheet.guess(trail.points(matched.parts[-1].last))
        self._end(sheet, trail, ride)
        return sheet.total()

    def _unseen(self, sheet: _Sheet, trail: DrivenTrail, ride: Ride) -> WayDriven:
        places = [ride.start, *trail.points(), *([ride.end] if ride.end is not None else [])]
        for a, b in pairwise(places):
            self._fill(sheet, a, b, None)
        return sheet.total("none")

    def _start(self, sheet: _Sheet, trail: DrivenTrail, ride: Ride) -> None:
        unseen_s = float(trail.at_s[0]) - ride.since_s
        if unseen_s > self._settings.unseen_s:
            self._fill(sheet, ride.start, trail.point(0), unseen_s)

    def _end(self, sheet: _Sheet, trail: DrivenTrail, ride: Ride) -> None:
        if ride.end is None or ride.until_s is None:
            return
        unseen_s = ride.until_s - float(trail.at_s[-1])
        if unseen_s > self._settings.unseen_s:
            self._fill(sheet, trail.point(len(trail) - 1), ride.end, unseen_s)

    def _break(self, sheet: _Sheet, trail: DrivenTrail, last: int, first: int, to: LatLng) -> None:
        """Between two stretches of road: unseen, or by pings that fit no road."""
        took_s = float(trail.at_s[first] - trail.at_s[last])
        if first <= last + 1:
            self._fill(sheet, sheet.here(), to, took_s)
            return
        pinged = [sheet.here(), *trail.points(last + 1, first - 1), to]
        path = self._path(sheet.here(), to, took_s)
        if path is not None and _alike(path.distance_m, length_m(pinged)):
            sheet.bridge(path)  # the pings were poor, not the roads
        else:
            sheet.guess(pinged)

    def _fill(self, sheet: _Sheet, a: LatLng, b: LatLng, took_s: float | None) -> None:
        """What nobody saw: by road where the car can have driven that way, in the time that is known."""
        if haversine_m(a, b) <= self._settings.near_m:
            sheet.close(a, b)
        elif (path := self._path(a, b, took_s)) is not None:
            sheet.bridge(path)
        else:
            sheet.guess([a, b])

    def _path(self, a: LatLng, b: LatLng, took_s: float | None) -> Path | None:
        try:
            path = self._paths.path(a, b)
        except (NotOnRoad, NoRoute):
            return None
        in_time = took_s is None or path.duration_s <= took_s * self._settings.haste
        return path if in_time else None


def length_m(line: Sequence[LatLng]) -> float:
    """Straight from place to place."""
    return sum(haversine_m(a, b) for a, b in pairwise(line))


def _alike(road_m: float, pinged_m: float) -> bool:
    """Whether noise alone can make these lengths of one way so different: it makes a way longer, never much shorter."""
    return _SHORTER * pinged_m <= road_m <= _LONGER * pinged_m


@dataclass(slots=True)
class _Sheet:
    """Adds up what was driven, by how it is known."""

    settings: DrivenSettings
    seen_m: float = 0.0
    bridged_m: float = 0.0
    guessed_m: float = 0.0
    lines: list[list[LatLng]] = field(default_factory=list)

    def here(self) -> LatLng:
        """Where the way has got to."""
        return self.lines[-1][-1]

    def see(self, line: list[LatLng], metres: float) -> None:
        self.seen_m += metres
        self._draw(line)

    def bridge(self, path: Path) -> None:
        self.bridged_m += path.distance_m
        self._draw([path.point(row) for row in range(len(path.lat))])

    def guess(self, line: list[LatLng]) -> None:
        """Straight from place to place; a line of one place is none."""
        self.guessed_m += length_m(line)
        if len(line) > 1:
            self._draw(line)

    def close(self, a: LatLng, b: LatLng) -> None:
        """A hole too small to be one."""
        self.seen_m += haversine_m(a, b)

    def total(self, grade: Grade | None = None) -> WayDriven:
        metres = self.seen_m + self.bridged_m + self.guessed_m
        lines = [line for line in self.lines if len(line) > 1]
        return WayDriven(metres, grade or self._grade(metres), lines)

    def _grade(self, metres: float) -> Grade:
        if self.guessed_m > self.settings.guessed_share * metres:
            return "partial"
        if self.bridged_m == 0.0:
            return "matched"
        return "bridged" if self.bridged_m <= self.settings.bridged_share * metres else "partial"

    def _draw(self, line: list[LatLng]) -> None:
        """Lines that go on where the last one ends are one."""
        if self.lines and haversine_m(self.here(), line[0]) <= self.settings.near_m:
            self.lines[-1] += line[1:] if line[0] == self.here() else line
        else:
            self.lines.append(list(line))
