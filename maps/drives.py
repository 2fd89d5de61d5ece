"""Drives: how long which stretches of road took. What traffic is learned from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.geo import FloatArray
from maps.eta import Way
from maps.matching import Traced
from maps.roads import Int32Array, Int64Array, RoadGraph
from runtime.traffic_settings import TrafficSettings

_LEAST_SHARE = 1e-3  # of an edge: a car that stands still is still somewhere


@dataclass(frozen=True, slots=True)
class Drives:
    """Intervals of driving. Interval i took `seconds[i]` and ended at `ended_at[i]`, epoch seconds; shape (intervals,).

    It covers the rows with `interval == i`: of each `edge` the `share` of its length; arrays of shape (rows,).
    """

    seconds: FloatArray
    ended_at: FloatArray
    interval: Int64Array
    edge: Int32Array
    share: FloatArray

    def __len__(self) -> int:
        return len(self.seconds)

    def take(self, wanted: Int64Array) -> Drives:
        """The intervals of these numbers, in this order, each at most once."""
        new = np.full(len(self), -1, dtype=np.int64)
        new[wanted] = np.arange(len(wanted))
        rows = np.flatnonzero(new[self.interval] >= 0)
        rows = rows[np.argsort(new[self.interval[rows]], kind="stable")]
        numbers = new[self.interval[rows]]
        return Drives(self.seconds[wanted], self.ended_at[wanted], numbers, self.edge[rows], self.share[rows])


def together(many: Sequence[Drives]) -> Drives:
    """All of them as one, in their order."""
    before = np.cumsum([0, *(len(drives) for drives in many)])
    return Drives(
        seconds=np.concatenate([np.empty(0), *(drives.seconds for drives in many)]),
        ended_at=np.concatenate([np.empty(0), *(drives.ended_at for drives in many)]),
        interval=np.concatenate(
            [np.empty(0, np.int64), *(drives.interval + n for drives, n in zip(many, before[:-1], strict=True))]
        ),
        edge=np.concatenate([np.empty(0, np.int32), *(drives.edge for drives in many)]),
        share=np.concatenate([np.empty(0), *(drives.share for drives in many)]),
    )


class DriveReader:
    """Reads drives from matched trails of one city."""

    def __init__(self, roads: RoadGraph, settings: TrafficSettings) -> None:
        self._roads = roads
        self._edge: Mapping[int, int] = {graph_id: edge for edge, graph_id in enumerate(roads.graph_id.tolist())}
        self._settings = settings

    def read(self, traced: Traced, at_s: FloatArray) -> Drives:
        """The drives between the pings of a trail, which were at `at_s`, epoch seconds, shape (pings,).

        Left out are gaps, jumps, and what lies on roads that the graph of the city does not have.
        """
        edges = [self._edge.get(graph_id, -1) for graph_id in traced.edges]
        seconds, ended_at, share = list[float](), list[float](), list[float]()
        interval, edge = list[int](), list[int]()
        before: tuple[int, float, float] | None = None
        for place, at in zip(traced.places, at_s.tolist(), strict=True):
            if place is None:  # it stands, or the ping is off: the time counts to the next place
                continue
            step, along = place
            if before is not None:
                stretch = _stretch(before[:2], (step, along))
                took = at - before[2]
                if self._plausible(edges, stretch, took):
                    interval += [len(seconds)] * len(stretch)
                    edge += [edges[number] for number, _ in stretch]
                    share += [max(part, _LEAST_SHARE) for _, part in stretch]
                    seconds.append(took)
                    ended_at.append(at)
            before = (step, along, at)
        return Drives(
            seconds=np.array(seconds, dtype=np.float64),
            ended_at=np.array(ended_at, dtype=np.float64),
            interval=np.array(interval, dtype=np.int64),
            edge=np.array(edge, dtype=np.int32),
            share=np.array(share, dtype=np.float64),
        )

    def _plausible(self, edges: Sequence[int], stretch: Sequence[tuple[int, float]], took: float) -> bool:
        if not stretch or not 0 < took <= self._settings.max_gap_s or any(edges[number] < 0 for number, _ in stretch):
            return False
        metres = sum(float(self._roads.metres[edges[number]]) * part for number, part in stretch)
        return metres <= took * self._settings.top_speed_mps


def whole_ways(ways: Sequence[Way], took_s: Sequence[float], ended_at: Sequence[float]) -> Drives:
    """Trips of which only the time is known, each as one drive over the way it most likely took."""
    edges = [way.edges for way in ways]
    shares = []
    for way in ways:
        share = np.ones(len(way.edges))
        share[0] -= way.start
        share[-1] -= 1.0 - way.end
        shares.append(np.maximum(share, _LEAST_SHARE))
    rest = [max(took - float(way.turn_s.sum()), 1.0) for way, took in zip(ways, took_s, strict=True)]
    return Drives(
        seconds=np.array(rest, dtype=np.float64),
        ended_at=np.array(ended_at, dtype=np.float64),
        interval=np.repeat(np.arange(len(ways)), [len(edge) for edge in edges]),
        edge=np.concatenate([np.empty(0, np.int32), *edges]),
        share=np.concatenate([np.empty(0), *shares]),
    )


def _stretch(start: tuple[int, float], end: tuple[int, float]) -> list[tuple[int, float]]:
    """(number of the edge, share of it) on the way between two places; none where the way goes back."""
    if end < start:
        return []
    (first, left_at), (last, ends_at) = start, end
    if first == last:
        return [(first, ends_at - left_at)]
    return [(first, 1.0 - left_at), *((number, 1.0) for number in range(first + 1, last)), (last, ends_at)]
