"""The posts of a batch run: points of the city between which every travel time is kept, and where cabs are seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from core.geo import FloatArray, IntArray
from maps.kernels import compiled
from simulator.fleet import Float32Array, Roads, Trips
from simulator.model import Progress
from simulator.ports import SimulatedCity
from simulator.scenario import Scenario

_BESIDE = 24  # posts that are looked at to find those next to one
_NEAR = 8  # posts by air among which a place has its own by road


@dataclass(frozen=True, slots=True)
class Net:
    """Posts, in the order of a curve that keeps near ones together, and the ways between them."""

    lat: FloatArray  # (posts,)
    lng: FloatArray
    roads: Roads


def build_net(city: SimulatedCity, progress: Progress, max_posts: int) -> Net:
    """Posts at the city's junctions, or at `max_posts` of them, spread evenly. Takes 10 bytes for each pair."""
    lat, lng = city.road_points()
    order = np.argsort(_along_curve(lat, lng), kind="stable")
    kept = order[np.unique(np.linspace(0, len(order) - 1, min(len(order), max_posts)).astype(np.int64))]
    lat, lng = lat[kept], lng[kept]
    places, n = city.places(lat, lng), len(lat)
    rows: IntArray = np.arange(n)
    seconds, metres = np.empty((n, n), dtype=np.float32), np.empty((n, n), dtype=np.float32)
    nearest = np.empty((n, n), dtype=np.uint16)
    for post in range(n):
        way = places.to_one(rows, post)
        seconds[post], metres[post] = way.seconds, way.metres
        nearest[post] = np.argsort(seconds[post], kind="stable")
        if post % 256 == 0:
            progress("posts", post / n)
    progress("posts", 1.0)
    ahead = np.argsort(seconds.T, axis=1, kind="stable")[:, : _BESIDE + 1].astype(np.int64)
    first, beside = _beside(seconds, ahead)
    tail = np.repeat(rows, np.diff(first))
    step_s, step_m = (each[beside, tail].astype(np.float64) for each in (seconds, metres))
    return Net(lat, lng, Roads(seconds, metres, nearest, first, beside, step_s, step_m))


def trips_on(net: Net, city: SimulatedCity, scenario: Scenario) -> tuple[Trips, IntArray]:
    """The scenario's requests between posts, times from its first request on, and the posts where its cabs begin."""
    requests, posts = scenario.requests, len(net.lat)
    places = city.places(np.concatenate([net.lat, scenario.lat]), np.concatenate([net.lng, scenario.lng]))
    tree, scale = cKDTree(_flat(net.lat, net.lng, float(net.lat.mean()))), float(net.lat.mean())
    starts = np.arange(2 * len(scenario.raw.at), len(scenario.lat))

    def own_post(rows: IntArray, leaving: bool) -> tuple[IntArray, FloatArray, FloatArray]:
        _, near = tree.query(_flat(scenario.lat[rows], scenario.lng[rows], scale), k=min(_NEAR, posts))
        near = near.reshape(len(rows), -1).astype(np.int64)
        there = np.repeat(rows + posts, near.shape[1])
        way = places.between(there, near.ravel()) if leaving else places.between(near.ravel(), there)
        best = np.argmin(way.seconds.reshape(near.shape), axis=1)
        at = np.arange(len(rows)), best
        return near[at], way.seconds.reshape(near.shape)[at], way.metres.reshape(near.shape)[at]

    pickup, access_s, access_m = own_post(requests.pickup, leaving=False)
    dropoff, egress_s, egress_m = own_post(requests.dropoff, leaving=True)
    begin = float(requests.at[0]) if len(requests) else 0.0
    trips = Trips(
        requests.at - begin, pickup, access_s, access_m, dropoff, egress_s, egress_m, requests.direct_s.astype(float)
    )
    return trips, own_post(starts, leaving=True)[0]


def posts_near(net: Net, lat: FloatArray, lng: FloatArray) -> IntArray:
    """The nearest post by air of each point, shape (n,)."""
    scale = float(net.lat.mean())
    _, near = cKDTree(_flat(net.lat, net.lng, scale)).query(_flat(lat, lng, scale))
    return np.asarray(near, dtype=np.int64)


def _flat(lat: FloatArray, lng: FloatArray, at_lat: float) -> FloatArray:
    return np.column_stack([lat, lng * np.cos(np.radians(at_lat))])


def _along_curve(lat: FloatArray, lng: FloatArray, bits: int = 16) -> IntArray:
    """The place of each point along a Hilbert curve over them all (Hilbert 1891; Skilling's loop in two dimensions)."""
    side = (1 << bits) - 1
    x, y = (
        np.rint((each - each.min()) / max(float(np.ptp(each)), 1e-12) * side).astype(np.int64) for each in (lng, lat)
    )
    along = np.zeros(len(x), dtype=np.int64)
    step = 1 << (bits - 1)
    while step:
        right, up = (x & step) > 0, (y & step) > 0
        along += step * step * ((3 * right) ^ up)
        turned = ~up & right
        x, y = (
            np.where(turned, step - 1 - (x & (step - 1)), x & (step - 1)),
            np.where(turned, step - 1 - (y & (step - 1)), y & (step - 1)),
        )
        x, y = np.where(up, x, y), np.where(up, y, x)
        step >>= 1
    return along


@compiled
def _beside(seconds: Float32Array, ahead: IntArray) -> tuple[IntArray, IntArray]:
    """Which posts are next to each: those on whose way none of the other near ones lies."""
    n, most = ahead.shape
    first, beside, found = np.zeros(n + 1, np.int64), np.empty(n * most, np.int64), 0
    for post in range(n):
        for place in range(most):
            other = ahead[post, place]
            way_s = seconds[other, post]
            if other == post or not np.isfinite(way_s):
                continue
            direct = True
            for nearer in range(place):
                via = ahead[post, nearer]
                if via not in (post, other) and seconds[via, post] + seconds[other, via] <= way_s + 0.01:
                    direct = False
                    break
            if direct:
                beside[found] = other
                found += 1
        first[post + 1] = found
    return first, beside[:found].copy()
