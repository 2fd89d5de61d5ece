"""The cabs of a batch run as arrays, and the compiled loops that drive them along the roads.

Times are seconds since the run began. A cab is always given by the post that it stands at or reaches next, `node`,
and by when it is there, `at`: from there it can be sent elsewhere. A cab with a rider is at the end of the ride.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from core.geo import FloatArray, IntArray
from maps.kernels import compiled

IDLE, COMING, RIDING = 0, 1, 2
NOBODY = -1

Float32Array = npt.NDArray[np.float32]
_DETOUR_S = 1.0  # a neighbour that is a longer detour than this is not on the way
_ROUNDING_S = 1e-3  # of travel times: a promise is not broken by it


class Roads(NamedTuple):
    """Travel between posts. `seconds[b, a]` and `metres[b, a]` are from a to b; `order[b]` the posts, nearest first.

    `beside[first[a]:first[a + 1]]` are the posts next to a; `step_s` and `step_m` the way there.
    """

    seconds: Float32Array
    metres: Float32Array
    order: npt.NDArray[np.uint16]
    first: IntArray
    beside: IntArray
    step_s: FloatArray
    step_m: FloatArray


class Trips(NamedTuple):
    """The requests in order of time, all of shape (n,): posts of their ends, and the ways between."""

    at: FloatArray
    pickup: IntArray
    access_s: FloatArray
    access_m: FloatArray
    dropoff: IntArray
    egress_s: FloatArray
    egress_m: FloatArray
    direct_s: FloatArray


class Fleet(NamedTuple):
    """The cabs, all of shape (cabs,). `arrive` is when a cab that moves is at the end of its way."""

    state: IntArray
    node: IntArray
    at: FloatArray
    target: IntArray
    arrive: FloatArray
    rider: IntArray  # whom it comes for, or will come for at once after its ride
    empty_m: FloatArray
    sent_m: FloatArray  # empty_m when it was sent to its rider


class Book(NamedTuple):
    """What becomes of the requests, all of shape (n,)."""

    cab: IntArray
    sent_at: FloatArray  # when the cab that comes was sent
    pickup_at: FloatArray
    pickup_m: FloatArray
    promised_at: FloatArray  # the pickup that the rider was told first; inf before


def new_fleet(starts: IntArray) -> Fleet:
    """Idle cabs at these posts."""
    n = len(starts)
    zeros = [np.zeros(n) for _ in range(4)]
    at, arrive, empty_m, sent_m = zeros
    idle = np.full(n, IDLE, dtype=np.int64)
    return Fleet(idle, starts.copy(), at, starts.copy(), arrive, np.full(n, NOBODY), empty_m, sent_m)


def new_book(n: int) -> Book:
    """Nothing has happened to n requests."""
    sent_at, pickup_at, pickup_m = (np.full(n, np.nan) for _ in range(3))
    return Book(np.full(n, NOBODY), sent_at, pickup_at, pickup_m, np.full(n, np.inf))


@compiled
def _walk(cab, fleet, roads, now):  # type: ignore[no-untyped-def]
    """Drive on to the first post that is not reached before now."""
    node, at, target = fleet.node[cab], fleet.at[cab], fleet.target[cab]
    while at < now and node != target:
        best, chosen = np.inf, -1
        for place in range(roads.first[node], roads.first[node + 1]):
            over = roads.step_s[place] + roads.seconds[target, roads.beside[place]]
            if over < best:
                best, chosen = over, place
        left_s = roads.seconds[target, node]
        if chosen < 0 or best > left_s + _DETOUR_S:  # no post lies on the way: the next one is its end
            at += left_s
            fleet.empty_m[cab] += roads.metres[target, node]
            node = target
        else:
            at += roads.step_s[chosen]
            fleet.empty_m[cab] += roads.step_m[chosen]
            node = roads.beside[chosen]
    fleet.node[cab], fleet.at[cab] = node, at


@compiled
def advance(fleet, roads, trips, book, now):  # type: ignore[no-untyped-def]
    """Bring every cab to now: along its way, to its rider, to the end of the ride."""
    for cab in range(len(fleet.state)):
        if fleet.state[cab] == RIDING and fleet.at[cab] <= now:
            request = fleet.rider[cab]
            fleet.state[cab] = IDLE
            if request >= 0:  # promised to it: it sets out at once
                fleet.state[cab], fleet.target[cab] = COMING, trips.pickup[request]
                way_s = roads.seconds[fleet.target[cab], fleet.node[cab]] + trips.access_s[request]
                fleet.arrive[cab], fleet.sent_m[cab] = fleet.at[cab] + way_s, fleet.empty_m[cab]
        if fleet.state[cab] == COMING:
            if fleet.arrive[cab] <= now:
                _ride(cab, fleet, roads, trips, book)
            elif fleet.at[cab] < now:
                _walk(cab, fleet, roads, now)
        if fleet.state[cab] == IDLE and fleet.at[cab] < now:
            if fleet.node[cab] != fleet.target[cab]:
                _walk(cab, fleet, roads, now)
            if fleet.node[cab] == fleet.target[cab] and fleet.at[cab] < now:
                fleet.at[cab] = now


@compiled
def _ride(cab, fleet, roads, trips, book):  # type: ignore[no-untyped-def]
    """The cab is at its rider: the ride begins, and its end is known."""
    request = fleet.rider[cab]
    fleet.empty_m[cab] += roads.metres[fleet.target[cab], fleet.node[cab]] + trips.access_m[request]
    book.pickup_at[request] = fleet.arrive[cab]
    book.pickup_m[request] = fleet.empty_m[cab] - fleet.sent_m[cab]
    fleet.state[cab], fleet.rider[cab] = RIDING, NOBODY
    fleet.node[cab] = fleet.target[cab] = trips.dropoff[request]
    end = fleet.arrive[cab] + trips.direct_s[request] + trips.egress_s[request]
    fleet.at[cab] = fleet.arrive[cab] = end
    fleet.empty_m[cab] += trips.egress_m[request]


@compiled
def pairs(pool, fleet, roads, trips, book, now, max_wait_s, most, ahead_s, swapping):  # type: ignore[no-untyped-def]
    """The cabs that can be with each waiting request in time: where each one's pairs begin, the cabs, their arrivals.

    At most `most` free cabs a request, the first to arrive, and the cab that it has. Cabs whose ride ends within
    `ahead_s` count as free; with `swapping` as many that are under way to another rider come on top. Nobody is worse
    off than promised.
    """
    nodes, cabs = len(roads.seconds), len(fleet.state)
    free, coming, after = np.full(nodes, -1, np.int32), np.full(nodes, -1, np.int32), np.empty(cabs, np.int32)
    for cab in range(cabs):
        state, node = fleet.state[cab], fleet.node[cab]
        if state == COMING and swapping:
            after[cab], coming[node] = coming[node], cab
        elif state == IDLE or (state == RIDING and fleet.at[cab] <= now + ahead_s):
            after[cab], free[node] = free[node], cab
    first = np.zeros(len(pool) + 1, np.int64)
    cab_of = np.empty(len(pool) * (2 * most + 1), np.int64)
    arrival = np.empty(len(pool) * (2 * most + 1))
    n = 0
    for row in range(len(pool)):
        request = pool[row]
        latest = min(trips.at[request] + max_wait_s, book.promised_at[request]) + _ROUNDING_S
        own, pickup, access_s = book.cab[request], trips.pickup[request], trips.access_s[request]
        if own >= 0:
            cab_of[n], arrival[n] = own, fleet.arrive[own]
            if fleet.state[own] == RIDING:  # it still carries another
                arrival[n] = max(fleet.at[own], now) + roads.seconds[pickup, fleet.node[own]] + access_s
            n += 1
        wish = pickup, access_s, latest, own
        n = _soonest(wish, free, after, fleet, roads, now, most, cab_of, arrival, n)
        if swapping:
            n = _soonest(wish, coming, after, fleet, roads, now, most, cab_of, arrival, n)
        first[row + 1] = n
    return first, cab_of[:n], arrival[:n]


@compiled
def _soonest(wish, head, after, fleet, roads, now, most, cab_of, arrival, begin):  # type: ignore[no-untyped-def]
    """Write the `most` cabs that can be at a pickup first, of those listed at each post, from `begin` on; the end."""
    pickup, access_s, latest, own = wish
    n = begin
    for near in range(len(roads.seconds)):
        node = roads.order[pickup, near]
        way_s = roads.seconds[pickup, node] + access_s
        if now + way_s > latest or (n - begin == most and now + way_s >= arrival[n - 1]):
            break
        cab = head[node]
        while cab >= 0:
            there = max(fleet.at[cab], now) + way_s
            if there <= latest and cab != own and (n - begin < most or there < arrival[n - 1]):
                place = n if n - begin < most else n - 1
                while place > begin and arrival[place - 1] > there:
                    cab_of[place], arrival[place] = cab_of[place - 1], arrival[place - 1]
                    place -= 1
                cab_of[place], arrival[place] = cab, there
                n = min(n + 1, begin + most)
            cab = after[cab]
    return n


@compiled
def send(pool, chosen, cab_of, arrival, fleet, trips, book, now):  # type: ignore[no-untyped-def]
    """Send the cabs of the chosen pairs, one or NOBODY for each waiting request.

    A cab that still carries a rider is waited for: who has been promised a pickup keeps it meanwhile.
    """
    for row in range(len(pool)):  # first whoever loses a cab
        request, pair = pool[row], chosen[row]
        own = book.cab[request]
        if own >= 0 and (pair < 0 or cab_of[pair] != own):
            book.cab[request], fleet.rider[own] = NOBODY, NOBODY
            if fleet.state[own] == COMING:
                fleet.state[own] = IDLE
                fleet.target[own], fleet.arrive[own] = fleet.node[own], fleet.at[own]
    for row in range(len(pool)):
        request, pair = pool[row], chosen[row]
        if pair < 0 or book.cab[request] >= 0:
            continue
        cab = cab_of[pair]
        if fleet.state[cab] == RIDING:
            if book.promised_at[request] < np.inf:
                book.cab[request], fleet.rider[cab], book.sent_at[request] = cab, request, now
            continue
        book.cab[request], book.sent_at[request] = cab, now
        if book.promised_at[request] == np.inf:
            book.promised_at[request] = arrival[pair]
        fleet.state[cab], fleet.rider[cab], fleet.sent_m[cab] = COMING, request, fleet.empty_m[cab]
        fleet.target[cab], fleet.arrive[cab] = trips.pickup[request], arrival[pair]


@compiled
def move(cabs, targets, fleet, roads, now):  # type: ignore[no-untyped-def]
    """Send idle cabs to posts without a rider."""
    for place in range(len(cabs)):
        cab, target = cabs[place], targets[place]
        fleet.target[cab] = target
        fleet.arrive[cab] = max(fleet.at[cab], now) + roads.seconds[target, fleet.node[cab]]
