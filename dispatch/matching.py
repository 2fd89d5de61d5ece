"""Whom each of many requests gets, decided for all at once: the cheapest assignment. Pure: arrays in, decisions out.

Shortest augmenting paths with prices of drivers (Jonker and Volgenant, A shortest augmenting path algorithm for dense
and sparse linear assignment problems, 1987), where a request may also be left without a driver at a cost of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.geo import IntArray
from maps.kernels import compiled

NOBODY = -1  # in place of a pair: the request is left without a driver
LARGEST = 1 << 58  # of costs, by amount: sums of a few of them stay exact

_FAR = 1 << 61
_ROUNDS = 3  # of bidding before paths are searched: more of them cost more than they save
_BIDS_EACH = 20  # bids in one round, for each request


@dataclass(frozen=True, slots=True)
class Pairs:
    """Who could serve whom: the pairs of request i are those at `first[i]` to `first[i + 1] - 1`.

    Drivers are slots from 0; which driver a slot stands for is the caller's matter. Costs are whole numbers of any one
    unit, such as milliseconds, negative ones too, of at most LARGEST by amount.
    """

    first: IntArray  # (n_requests + 1,), from 0 up to n_pairs
    driver: IntArray  # (n_pairs,) slots
    cost: IntArray  # (n_pairs,)


def match(pairs: Pairs, leaving: IntArray, n_drivers: int) -> IntArray:
    """Choose pairs so that no driver serves two requests and the whole costs the least.

    `leaving` (n_requests,) is what it costs to leave each request without a driver; let it grow with the time that a
    request has waited. A request without pairs is left.

    Returns for each request the place of its pair (n_requests,), or NOBODY. The same arrays give the same answer; where
    several answers cost the same, requests and drivers in the order of their ids make it independent of who came first.
    It is fastest where the pairs of every request come cheapest first, as a ranking has them.
    Raises ValueError when the arrays do not fit each other, a slot is not below `n_drivers` or a cost is too large.
    """
    first, driver, cost = (
        np.ascontiguousarray(part, dtype=np.int64) for part in (pairs.first, pairs.driver, pairs.cost)
    )
    leaving = np.ascontiguousarray(leaving, dtype=np.int64)
    if len(first) != len(leaving) + 1 or len(driver) != len(cost) or first[0] != 0 or first[-1] != len(driver):
        raise ValueError(f"{len(leaving)} requests, {len(first)} bounds, {len(driver)} drivers and {len(cost)} costs")
    chosen = np.full(len(leaving), NOBODY)
    chosen = np.full(len(leaving), NOBODY)
    if not _match((first, driver, cost, leaving), chosen, n_drivers):
        raise ValueError(f"a bound that falls, a slot not below {n_drivers} or a cost beyond {LARGEST}")
    return chosen


@compiled
def _match(asks, chosen, n_drivers):  # type: ignore[no-untyped-def]
    """Fill `chosen`; False when a number is out of range.

    At every moment each request has its pair of least cost + price, or is left where that costs no more, or still
    waits; a price is never negative, and 0 for a driver whom nobody has. Prices only rise, so who is left stays left.
    """
    first, driver, cost, leaving = asks
    if not _fits(first, driver, cost, leaving, n_drivers):
        return False
    rising = _rising(first, cost)
    holder = np.full(n_drivers, NOBODY, np.int64)  # the request that has the driver
    price = np.zeros(n_drivers, np.int64)
    waiting = np.empty(len(leaving), np.int64)
    state = chosen, holder, price
    count = _take_free(asks, rising, state, waiting)
    for _ in range(_ROUNDS):
        count = _bid(asks, rising, state, waiting, count)
    if count == 0:
        return True
    reached = np.empty(n_drivers, np.int64)  # the cost of the best known path to the driver
    mark = np.full(n_drivers, NOBODY, np.int64)  # 2 i: search i has reached the driver, 2 i + 1: and is done with it
    by_pair = np.empty(n_drivers, np.int64)  # the last step of that path
    by_request = np.empty(n_drivers, np.int64)
    heap = np.empty(len(driver) + 1, np.int64), np.empty(len(driver) + 1, np.int64)
    lists = np.empty(len(driver) + 1, np.int64), np.empty(n_drivers, np.int64)
    paths = reached, mark, by_pair, by_request
    for number in range(count):
        _augment((waiting[number], number, rising), asks, state, paths, heap, lists)
    return True


@compiled
def _fits(first, driver, cost, leaving, n_drivers):  # type: ignore[no-untyped-def]
    """Whether all numbers are in range. Without a branch in its loops, so that it costs next to nothing."""
    wrong = False
    for pair in range(len(driver)):
        wrong |= (driver[pair] < 0) | (driver[pair] >= n_drivers) | (cost[pair] < -LARGEST) | (cost[pair] > LARGEST)
    for request in range(len(leaving)):
        wrong |= (first[request] > first[request + 1]) | (leaving[request] < -LARGEST) | (leaving[request] > LARGEST)
    return not wrong


@compiled
def _rising(first, cost):  # type: ignore[no-untyped-def]
    """Whether the pairs of every request come cheapest first: then a look at them can end early."""
    falls = between = 0
    for pair in range(1, len(cost)):
        falls += cost[pair] < cost[pair - 1]
    for request in range(len(first) - 1):
        at = first[request]
        if 0 < at < first[request + 1]:
            between += cost[at] < cost[at - 1]
    return falls == between


@compiled
def _take_free(asks, rising, state, waiting):  # type: ignore[no-untyped-def]
    """Give each request its cheapest driver if nobody has that one yet; returns how many wait."""
    (first, driver, cost, leaving), (chosen, holder, _) = asks, state
    count = 0
    for request in range(len(leaving)):
        best, place = leaving[request], NOBODY
        for pair in range(first[request], first[request + 1]):
            if cost[pair] < best:
                best, place = cost[pair], pair
            if rising:
                break
        if place == NOBODY:
            continue
        if holder[driver[place]] == NOBODY:
            holder[driver[place]], chosen[request] = request, place
        else:
            waiting[count] = request
            count += 1
    return count


@compiled
def _bid(asks, rising, state, waiting, count):  # type: ignore[no-untyped-def]
    """Let those who wait outbid the holders, each up to what its second best costs; returns how many wait then."""
    (first, driver, cost, leaving), (chosen, holder, price) = asks, state
    at = still = bids = 0
    while at < count and bids < _BIDS_EACH * len(leaving):
        bids += 1
        request = waiting[at]
        at += 1
        best, second, place = _FAR, leaving[request], NOBODY
        for pair in range(first[request], first[request + 1]):
            if rising and cost[pair] >= second:
                break
            asked = cost[pair] + price[driver[pair]]
            if asked < best:
                best, second, place = asked, min(second, best), pair
            elif asked < second:
                second = asked
        if best >= leaving[request]:
            continue
        loser = holder[driver[place]]
        price[driver[place]] += second - best
        holder[driver[place]], chosen[request] = request, place
        if loser == NOBODY:
            continue
        chosen[loser] = NOBODY
        if best < second:
            at -= 1
            waiting[at] = loser  # bids next
        else:
            waiting[still] = loser  # bids in the next round: these two might go on for ever
            still += 1
    for place in range(at, count):
        waiting[still] = waiting[place]
        still += 1
    return still


@compiled
def _augment(turn, asks, state, paths, heap, lists):  # type: ignore[no-untyped-def]
    """Serve one request by the cheapest chain of changes, which ends with a free driver or a request left.

    `turn` is the request, the number of this search, and whether pairs come cheapest first.
    """
    start, number, rising = turn
    (first, driver, cost, leaving), (chosen, holder, price) = asks, state
    (reached, mark, by_pair, by_request), (level, finished) = paths, lists
    is_reached, is_done = 2 * number, 2 * number + 1
    size = same = done = np.int64(0)
    bound, end, quits, base, offset = _FAR, NOBODY, NOBODY, -_FAR, np.int64(0)
    request = start
    while True:
        if offset + leaving[request] < bound:
            bound, end, quits = offset + leaving[request], NOBODY, request
        for pair in range(first[request], first[request + 1]):
            if rising and offset + cost[pair] >= bound:
                break
            to = driver[pair]
            path = offset + cost[pair] + price[to]
            if path >= bound or mark[to] == is_done or (mark[to] == is_reached and path >= reached[to]):
                continue
            mark[to], reached[to], by_pair[to], by_request[to] = is_reached, path, pair, request
            if holder[to] == NOBODY:
                bound, end = path, to
            elif path <= base:
                level[same] = to
                same += 1
            else:
                _push(heap, size, path, to)
                size += 1
        base, to, same, size = _next(heap, size, level, same, reached, mark, is_reached, base)
        if to == NOBODY or base >= bound:
            break
        mark[to] = is_done
        finished[done] = to
        done += 1
        request = holder[to]
        offset = base - cost[chosen[request]] - price[to]
    for place in range(done):
        price[finished[place]] += bound - reached[finished[place]]
    if end == NOBODY:
        if quits == start:
            return
        end = driver[chosen[quits]]
        chosen[quits] = NOBODY
    while True:
        request, before = by_request[end], chosen[by_request[end]]
        holder[end], chosen[request] = request, by_pair[end]
        if request == start:
            return
        end = driver[before]


@compiled
def _next(heap, size, level, same, reached, mark, is_reached, base):  # type: ignore[no-untyped-def]
    """The nearest driver of those reached: (path, driver or NOBODY, `same` then, `size` then)."""
    while same > 0:
        same -= 1
        if mark[level[same]] == is_reached:
            return base, level[same], same, size
    keys, items = heap
    while size > 0:
        path, to = keys[0], items[0]
        _pop(heap, size)
        size -= 1
        if mark[to] == is_reached and reached[to] == path:
            return path, to, same, size
    return base, np.int64(NOBODY), same, size


@compiled
def _push(heap, size, key, item):  # type: ignore[no-untyped-def]
    keys, items = heap
    at = size
    while at > 0 and keys[(at - 1) >> 1] > key:
        above = (at - 1) >> 1
        keys[at], items[at] = keys[above], items[above]
        at = above
    keys[at], items[at] = key, item


@compiled
def _pop(heap, size):  # type: ignore[no-untyped-def]
    """Take out the least; the heap has one item less afterwards."""
    keys, items = heap
    key, item = keys[size - 1], items[size - 1]
    at = 0
    while 2 * at + 1 < size - 1:
        below = 2 * at + 1
        if below + 1 < size - 1 and keys[below + 1] < keys[below]:
            below += 1
        if keys[below] >= key:
            break
        keys[at], items[at] = keys[below], items[below]
        at = below
    keys[at], items[at] = key, item
