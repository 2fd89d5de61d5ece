"""Travel times learned from drives: how much longer than free flow each edge takes, by hour of the week and right now.

The slowdown of an edge is a product of factors, each the ratio of observed to expected seconds, drawn towards 1 where
little was seen (shrinkage by pseudo-observations, as in Gelman et al., Bayesian Data Analysis, chapter 5):

    road class x hour of the week  x  the present moment, by class  x  the edge  x  the edge in this hour
    x  the edge right now  x  finished trips

An interval of driving over several edges is shared among them in proportion to the times expected now: the
expectation step of EM for such tomography (Shepp and Vardi, 1982). So whole trips without pings teach as well.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from zipfile import BadZipFile

import numpy as np

from core.errors import BadFile
from core.geo import FloatArray
from maps.drives import Drives
from maps.ledgers import Ledger, SparseLedger
from maps.roads import ROAD_CLASSES, RoadGraph
from runtime.traffic_settings import TrafficSettings

HOURS = 168
_HOUR_S = 3600.0
_MONDAY = 96  # hours from the first Monday's midnight UTC back to the epoch, a Thursday
_MOST_LOG = 0.4  # of one trip's error: a driver who waits for a bridge is no news of all roads
_CORE, _HOUR = "core", "hour-"  # names of what is saved


def hour_of_week(at_s: float) -> int:
    """The hour since Monday 00:00 UTC, of epoch seconds."""
    return int(at_s // _HOUR_S - _MONDAY) % HOURS


@dataclass(frozen=True, slots=True)
class Conditions:
    """What is seen of edges, arrays of shape (edges,).

    `evidence_s` is how much free-flow driving is remembered; `usual` the slowdown beside other roads of the class;
    `now` the slowdown beside the usual; `cars_per_km` how many of our cars are on a kilometre, on average right now.
    """

    evidence_s: FloatArray
    usual: FloatArray
    now: FloatArray
    cars_per_km: FloatArray


class Traffic:
    """What has been learned of one city's roads. Not safe to share between threads."""

    def __init__(self, roads: RoadGraph, settings: TrafficSettings) -> None:
        self._roads = roads
        self.settings = settings
        self._classes = roads.road_class.astype(np.intp)
        week, edges = (len(ROAD_CLASSES), HOURS), roads.edge_count
        self._week = Ledger(week, settings.half_life_s)
        self._moment = Ledger((len(ROAD_CLASSES),), settings.recent_half_life_s)
        self._edges = Ledger((edges,), settings.half_life_s)
        self._edge_hours = SparseLedger(edges, settings.half_life_s)
        self._edges_now = Ledger((edges,), settings.recent_half_life_s)
        self._trips = Ledger((), settings.trip_half_life_s)

    def observe(self, drives: Drives) -> None:
        """Learn from drives; those of one call lie within minutes, or come in order of time."""
        if not len(drives):
            return
        hours = np.array([hour_of_week(at) for at in drives.ended_at.tolist()], dtype=np.int64)
        changes = np.flatnonzero(np.diff(hours, prepend=-1))
        for start, end in zip(changes, [*changes[1:], len(hours)], strict=True):
            self._observe(drives.take(np.arange(start, end)), int(hours[start]))

    def _observe(self, drives: Drives, hour: int) -> None:
        """Each factor learns from what those before it do not explain, once they have learned from the same drives."""
        at, edge, settings = float(drives.ended_at.max()), drives.edge, self.settings
        of_edge = self._classes[edge]
        free = self._roads.seconds[edge] * drives.share
        expected = free * self._factors(at)[edge]
        total = np.bincount(drives.interval, expected, len(drives))
        observed = (drives.seconds / total)[drives.interval] * expected
        self._week.add((of_edge, np.full(len(edge), hour)), observed, free)
        explained = free * self._by_class(hour)[of_edge]
        self._moment.add(of_edge, observed, explained)
        explained *= self._at_present()[of_edge]
        self._edges.add(edge, observed, explained)
        explained *= self._edges.ratio(settings.edge_strength_s)[edge]
        self._edge_hours.add(hour, edge, observed, explained)
        explained *= self._edge_hours.ratio(hour, at, settings.edge_hour_strength_s)[edge]
        self._edges_now.add(edge, observed, explained)

    def trip(self, expected_s: float, took_s: float, ended_at: float) -> None:
        """Learn from a finished ride that was expected to take so long by the weights now in force."""
        self._trips.fade(ended_at)
        error = math.log(took_s / expected_s) + math.log(self._by_trips())
        self._trips.add((), np.float64(min(max(error, -_MOST_LOG), _MOST_LOG)), np.float64(1.0))

    def slowdown(self, at_s: float) -> FloatArray:
        """How many times its free-flow time each edge takes at this time, shape (edges,)."""
        self._trips.fade(at_s)
        most = self.settings.max_slowdown
        fastest = self._roads.metres / (self.settings.top_speed_mps * self._roads.seconds)
        return np.clip(self._factors(at_s) * self._by_trips(), np.minimum(fastest, most), most)

    def weights(self, at_s: float) -> FloatArray:
        """The seconds that each edge takes at this time, shape (edges,)."""
        return self._roads.seconds * self.slowdown(at_s)

    def conditions(self, at_s: float) -> Conditions:
        """What is seen of each edge at this time."""
        self._fade(at_s)
        settings = self.settings
        in_hour = self._edge_hours.ratio(hour_of_week(at_s), at_s, settings.edge_hour_strength_s)
        # by Little's law: the car seconds of the memory, over how long the memory is
        cars = self._edges_now.observed * math.log(2) / settings.recent_half_life_s
        return Conditions(
            evidence_s=self._edges.expected.copy(),
            usual=self._edges.ratio(settings.edge_strength_s),
            now=in_hour * self._edges_now.ratio(settings.edge_hour_strength_s),
            cars_per_km=1000 * cars / np.maximum(self._roads.metres, 1.0),
        )

    def _factors(self, at_s: float) -> FloatArray:
        """The slowdown of each edge without that of trips, shape (edges,)."""
        self._fade(at_s)
        settings, hour = self.settings, hour_of_week(at_s)
        by_class = self._by_class(hour) * self._at_present()
        usual = self._edges.ratio(settings.edge_strength_s)
        in_hour = self._edge_hours.ratio(hour, at_s, settings.edge_hour_strength_s)
        return by_class[self._classes] * usual * in_hour * self._edges_now.ratio(settings.edge_hour_strength_s)

    def _fade(self, at_s: float) -> None:
        for ledger in (self._week, self._moment, self._edges, self._edges_now):
            ledger.fade(at_s)

    def _at_present(self) -> FloatArray:
        """The slowdown of each road class right now, beside the same hour of other weeks."""
        moment, strength = self._moment, self.settings.recent_strength_s
        city = (moment.observed.sum() + strength) / (moment.expected.sum() + strength)
        return moment.ratio(strength, city)

    def _by_class(self, hour: int) -> FloatArray:
        """The slowdown of each road class in an hour: of its own, drawn towards class times hour, towards all."""
        settings, week = self.settings, self._week
        strength = settings.hour_strength_s
        city = (week.observed.sum() + strength) / (week.expected.sum() + strength)
        seen, free = week.observed.sum(axis=1), week.expected.sum(axis=1)
        of_class = (seen + settings.class_strength_s * city) / (free + settings.class_strength_s)
        expected = float((week.expected[:, hour] * of_class).sum())
        of_hour = (float(week.observed[:, hour].sum()) + strength) / (expected + strength)
        prior = of_class * of_hour
        least = settings.class_hour_strength_s
        return np.asarray((week.observed[:, hour] + least * prior) / (week.expected[:, hour] + least))

    def _by_trips(self) -> float:
        return math.exp(float(self._trips.observed) / (float(self._trips.expected) + self.settings.trip_strength))

    def save(self, fingerprint: str) -> dict[str, bytes]:
        """What was learned, by parts: all that has changed since `saved`. `fingerprint`: of the city pack."""
        parts = {
            _CORE: {
                f"{name}.{key}": array for name, each in self._whole().items() for key, array in each.arrays().items()
            }
        }
        parts |= {f"{_HOUR}{hour}": self._edge_hours.arrays(hour) for hour in sorted(self._edge_hours.changed)}
        return {name: _packed(arrays, fingerprint) for name, arrays in parts.items()}

    def saved(self, parts: Iterable[str]) -> None:
        """These parts are safe."""
        self._edge_hours.changed -= {int(part.removeprefix(_HOUR)) for part in parts if part.startswith(_HOUR)}

    def restore(self, parts: Mapping[str, bytes], fingerprint: str) -> None:
        """Go on from what was saved, if anything. Raises BadFile when it is damaged or of another city pack."""
        try:
            for name, body in parts.items():
                arrays = _unpacked(body, fingerprint)
                if name == _CORE:
                    for ledger, each in self._whole().items():
                        each.restore({key: arrays[f"{ledger}.{key}"] for key in each.arrays()})
                elif name.startswith(_HOUR):
                    self._edge_hours.restore(int(name.removeprefix(_HOUR)), arrays)
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise BadFile(f"what was learned of the roads cannot be used: {error}") from error

    def _whole(self) -> dict[str, Ledger]:
        return {
            "week": self._week,
            "moment": self._moment,
            "edges": self._edges,
            "edges_now": self._edges_now,
            "trips": self._trips,
        }


def _packed(arrays: Mapping[str, np.ndarray], fingerprint: str) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, fingerprint=np.array(fingerprint), **arrays)
    return file.getvalue()


def _unpacked(body: bytes, fingerprint: str) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(body), allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    if str(arrays.pop("fingerprint")) != fingerprint:
        raise ValueError("it was learned on another city pack")
    return arrays
