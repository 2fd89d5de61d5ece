"""Travel by labels: the fastest of all ways between points as a minimum over short rows.

The fastest way between two states passes one of their common ancestors, which are the first entries of both their
labels (Ouyang et al., When hierarchy meets 2-hop-labeling, 2018, on a customizable tree).
"""

from __future__ import annotations

import numpy as np

from maps.kernels import compiled
from maps.weights import CLOSED, METRES_BITS

_FAR = (
    1 << 59
)  # no way costs as much: it would take 37 hours, and what is CLOSED stays above it when a part of an edge is taken off
AT_JUNCTION = 1e-9  # fractions nearer to an end than this are the junction itself
_NO_NODE = -1
_ROWS = 256  # that are answered side by side
_UNKNOWN = -1
# columns of the sites, in which all that a query needs to know of an edge lies together
TAIL, HEAD, OPPOSITE, NUMBER, OPPOSITE_NUMBER, FURTHER = range(6)


@compiled
def _common(a, b, lowest):  # type: ignore[no-untyped-def]
    """How many ancestors two different states share, themselves included."""
    low, high = min(a, b) + 1, max(a, b)
    row = 0
    while 2 << row <= high - low + 1:
        row += 1
    return np.int64(min(lowest[row, low], lowest[row, high - (1 << row) + 1]))


@compiled
def _cost(a, b, tree, labels):  # type: ignore[no-untyped-def]
    """The least cost from state to state, given by number: from the end of one edge to the end of the other."""
    lowest, at = tree
    common = _common(a, b, lowest) if a != b else at[a + 1] - at[a]
    there, back = labels[0][at[a] : at[a] + common], labels[1][at[b] : at[b] + common]
    best = np.int64(CLOSED)
    for i in range(common):
        best = min(best, there[i] + back[i])
    return best


@compiled
def _junction(edge, fraction, sites):  # type: ignore[no-untyped-def]
    """The junction that a point on an edge is at, _NO_NODE between junctions."""
    if fraction <= AT_JUNCTION:
        return sites[edge, TAIL]
    return sites[edge, HEAD] if fraction >= 1.0 - AT_JUNCTION else np.int32(_NO_NODE)


@compiled
def _part(cost, share):  # type: ignore[no-untyped-def]
    """A share of an edge's cost, in whole milliseconds and centimetres; CLOSED stays."""
    if cost >= CLOSED:
        return cost
    ms, centimetres = np.float64(cost >> METRES_BITS), np.float64(cost & ((1 << METRES_BITS) - 1))
    return (np.int64(np.rint(share * ms)) << METRES_BITS) + np.int64(np.rint(share * centimetres))


@compiled
def _departures(point, streets, costs, out):  # type: ignore[no-untyped-def]
    """How a car at a point may set off: along its edge, its opposite, or any edge that leaves the junction it is at.

    Writes the states, their numbers and the cost from the point to the end of each edge; returns how many.
    """
    edge, fraction = point
    sites, (first, leave), _, _ = streets
    states, numbers, rest = out
    node = _junction(edge, fraction, sites)
    if node >= 0:
        count = first[node + 1] - first[node]
        for k in range(count):
            on = leave[first[node] + k]
            states[k], numbers[k], rest[k] = on, sites[on, NUMBER], costs[on, 0]
        return count
    states[0], numbers[0], rest[0] = edge, sites[edge, NUMBER], _part(costs[edge, 0], 1.0 - fraction)
    if sites[edge, OPPOSITE] < 0:
        return 1
    states[1], numbers[1] = sites[edge, OPPOSITE], sites[edge, OPPOSITE_NUMBER]
    rest[1] = _part(costs[edge, 1], fraction)
    return 2


@compiled
def _arrivals(point, streets, costs, out):  # type: ignore[no-untyped-def]
    """How a car may reach a point: on its edge, its opposite, or any edge that enters the junction it is at.

    Writes the states, their numbers and, less than nothing, what is left of each edge beyond the point; how many.
    """
    edge, fraction = point
    sites, _, (first, enter), _ = streets
    node = _junction(edge, fraction, sites)
    size = 0
    if node >= 0:
        for k in range(first[node], first[node + 1]):
            size = _arrive(enter[k], costs[enter[k], 0], 0.0, streets, out, size)
        return size
    size = _arrive(edge, costs[edge, 0], 1.0 - fraction, streets, out, size)
    if sites[edge, OPPOSITE] >= 0:
        size = _arrive(sites[edge, OPPOSITE], costs[edge, 1], fraction, streets, out, size)
    return size


@compiled
def _arrive(edge, cost, beyond, streets, out, size):  # type: ignore[no-untyped-def]
    """Add every state of an edge as an arrival, if the edge is open."""
    sites, _, _, (begin, further, number) = streets
    states, numbers, less = out
    if cost >= CLOSED:
        return size
    states[size], numbers[size], less[size] = edge, sites[edge, NUMBER], -_part(cost, beyond)
    for i in range(begin[edge], begin[edge + 1]):
        size += 1
        states[size], numbers[size], less[size] = further[i], number[further[i]], less[size - 1]
    return size + 1


@compiled
def _round_cost(state, end, turn_costs, net, labels):  # type: ignore[no-untyped-def]
    """The least cost of leaving an edge at its end and coming back to the end of it."""
    number, (first, after), tree, _ = net
    best = np.int64(CLOSED)
    for turn in range(first[state], first[state + 1]):
        if turn_costs[turn] < CLOSED:
            best = min(best, turn_costs[turn] + _cost(number[after[turn]], number[end], tree, labels))
    return best


@compiled
def _thorough(origin, end, streets, net, metric):  # type: ignore[no-untyped-def]
    """The least cost between any two points, the states it starts and ends in, and the cost from one to the other.

    CLOSED where there is no way, and off the road.
    """
    _, _, tree, most = net
    costs, turn_costs, labels = metric
    best, start, last, between = np.int64(CLOSED), np.int32(-1), np.int32(-1), np.int64(0)
    if origin[0] < 0 or end[0] < 0:
        return best, start, last, between
    here = _junction(origin[0], origin[1], streets[0])
    if here >= 0 and here == _junction(end[0], end[1], streets[0]):
        return np.int64(0), start, last, between
    states, numbers, rest = np.empty(most, np.int32), np.empty(most, np.int32), np.empty(most, np.int64)
    ends, end_numbers, less = np.empty(most, np.int32), np.empty(most, np.int32), np.empty(most, np.int64)
    ways_out = _departures(origin, streets, costs, (states, numbers, rest))
    ways_in = _arrivals(end, streets, costs, (ends, end_numbers, less))
    for i in range(ways_out):
        for k in range(ways_in):
            cost = _cost(numbers[i], end_numbers[k], tree, labels)
            if states[i] == ends[k] and rest[i] + less[k] < 0:  # the end lies behind on the same edge
                cost = _round_cost(states[i], ends[k], turn_costs, net, labels)
            if rest[i] < CLOSED and rest[i] + cost + less[k] < min(best, _FAR):
                best, start, last, between = rest[i] + cost + less[k], states[i], ends[k], cost
    return best, start, last, between


@compiled
def _prepare(points, streets, costs, arriving, out):  # type: ignore[no-untyped-def]
    """What the quick way needs to know of points: the numbers of both directions and the cost of the part that counts.

    That is from the point to the edge's end or, less than nothing, what an arrival leaves undriven. A point at a
    junction is not plain, nor is one to be reached on a street of which cars can be in further states.
    """
    (edge, fraction), sites = points, streets[0]
    numbers, parts, plain = out
    for i in range(len(edge)):
        on, share = edge[i], fraction[i]
        plain[i] = on >= 0 and AT_JUNCTION < share < 1.0 - AT_JUNCTION
        if not plain[i]:
            continue
        plain[i] = not (arriving and sites[on, FURTHER])
        back = 1 if sites[on, OPPOSITE] >= 0 else 0
        numbers[i, 0], numbers[i, 1] = sites[on, NUMBER], sites[on, NUMBER + back]
        for way in range(2):
            cost = costs[on, back * way]
            part = _part(cost, share if way and back else 1.0 - share)
            parts[i, way] = -part if arriving and cost < CLOSED else part


@compiled
def _quick(departures, arrivals, tree, labels, out):  # type: ignore[no-untyped-def]
    """The least cost of rows of plain points; rows that it cannot answer are marked with _UNKNOWN.

    Both directions of both streets are looked at in one go: their labels are mostly equally long.
    """
    (numbers, parts, plain), (end_numbers, end_parts, end_plain) = departures, arrivals
    (lowest, at), (to_ancestor, from_ancestor) = tree, labels
    common, begin = np.empty((len(out), 5), np.int64), np.empty((len(out), 4), np.int64)
    for row in range(len(out)):  # first what has to be fetched from all over the memory, for all rows side by side
        i, k = min(row, len(plain) - 1), min(row, len(end_plain) - 1)
        out[row] = CLOSED if plain[i] and end_plain[k] else _UNKNOWN
        if out[row] == _UNKNOWN:
            continue
        least = np.int64(1 << 30)
        for pair in range(4):
            a, b = numbers[i, pair >> 1], end_numbers[k, pair & 1]
            if a == b:
                out[row], least = _UNKNOWN, np.int64(0)
                break
            common[row, pair] = _common(a, b, lowest)
            least = min(least, common[row, pair])
        common[row, 4] = least
        begin[row, 0], begin[row, 1] = at[numbers[i, 0]], at[numbers[i, 1]]
        begin[row, 2], begin[row, 3] = at[end_numbers[k, 0]], at[end_numbers[k, 1]]
    for row in range(len(out)):
        if out[row] == _UNKNOWN:
            continue
        i, k, count = min(row, len(plain) - 1), min(row, len(end_plain) - 1), common[row, 4]
        c1, c2, d1, d2 = parts[i, 0], parts[i, 1], end_parts[k, 0], end_parts[k, 1]
        x1, x2 = to_ancestor[begin[row, 0] :][:count], to_ancestor[begin[row, 1] :][:count]
        y1, y2 = from_ancestor[begin[row, 2] :][:count], from_ancestor[begin[row, 3] :][:count]
        best = np.int64(CLOSED)
        for n in range(count):
            best = min(best, min(x1[n] + c1, x2[n] + c2) + min(y1[n] + d1, y2[n] + d2))
        for pair in range(4):
            one, other = pair >> 1, pair & 1
            for n in range(count, common[row, pair]):
                there, back = to_ancestor[begin[row, one] + n], from_ancestor[begin[row, 2 + other] + n]
                best = min(best, there + parts[i, one] + back + end_parts[k, other])
        out[row] = best


@compiled
def travel(origins, ends, streets, net, metric, out):  # type: ignore[no-untyped-def]
    """Seconds and metres of the fastest way of every pair, inf where there is none.

    Points are edges and fractions of them, edge -1 off the road; one origin or one end serves all rows.
    """
    (from_edge, from_fraction), (to_edge, to_fraction), (seconds, metres) = origins, ends, out
    costs, _, labels = metric
    departures = (np.empty((_ROWS, 2), np.int32), np.empty((_ROWS, 2), np.int64), np.empty(_ROWS, np.bool_))
    arrivals = (np.empty((_ROWS, 2), np.int32), np.empty((_ROWS, 2), np.int64), np.empty(_ROWS, np.bool_))
    found = np.empty(_ROWS, np.int64)
    for first in range(0, len(seconds), _ROWS):
        count = min(_ROWS, len(seconds) - first)
        a, b = (first, count) if len(from_edge) > 1 else (0, 1)
        c, d = (first, count) if len(to_edge) > 1 else (0, 1)
        setting_off = (departures[0][:b], departures[1][:b], departures[2][:b])
        arriving = (arrivals[0][:d], arrivals[1][:d], arrivals[2][:d])
        _prepare((from_edge[a : a + b], from_fraction[a : a + b]), streets, costs, False, setting_off)
        _prepare((to_edge[c : c + d], to_fraction[c : c + d]), streets, costs, True, arriving)
        _quick(setting_off, arriving, net[2], labels, found[:count])
        for row in range(count):
            cost = found[row]
            if cost == _UNKNOWN:
                i, k = a + min(row, b - 1), c + min(row, d - 1)
                point, end = (from_edge[i], from_fraction[i]), (to_edge[k], to_fraction[k])
                cost, _, _, _ = _thorough(point, end, streets, net, metric)
            far = cost >= _FAR
            seconds[first + row] = np.inf if far else np.float64(cost >> METRES_BITS) / 1000.0
            metres[first + row] = np.inf if far else np.float64(cost & ((1 << METRES_BITS) - 1)) / 100.0


@compiled
def find_way(origin, end, streets, net, metric):  # type: ignore[no-untyped-def]
    """The first state of the fastest way between two points on the road and its turns; -1 where there is no way.

    The points are not at one junction.
    """
    cost, state, last, between = _thorough(origin, end, streets, net, metric)
    turns = _descend(state, last, between, net, metric) if cost < _FAR else np.empty(0, np.int32)
    return state, turns


@compiled
def _descend(state, end, rest, net, metric):  # type: ignore[no-untyped-def]
    """The turns of a fastest way that costs `rest`: always one after which the rest costs what is left."""
    number, (first, after), tree, _ = net
    _, turn_costs, labels = metric
    taken, size = np.empty(64, np.int32), 0
    while rest > 0:  # every edge costs at least a millisecond, so it falls with each turn
        found = False
        for turn in range(first[state], first[state + 1]):
            onward = rest - turn_costs[turn]
            if onward >= 0 and _cost(number[after[turn]], number[end], tree, labels) == onward:
                state, rest, found = after[turn], onward, True
                if size == len(taken):
                    taken = np.concatenate((taken, np.empty(size, np.int32)))
                taken[size] = turn
                size += 1
                break
        assert found
    return taken[:size]
