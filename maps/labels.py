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
_NO_NODE = np.int32(-1)
_ROWS = 128  # that are answered side by side
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
def _part(cost, share):  # type: ignore[no-untyped-def]
    """A share of an edge's cost, in whole milliseconds and centimetres; CLOSED stays."""
    if cost >= CLOSED:
        return cost
    ms, centimetres = np.float64(cost >> METRES_BITS), np.float64(cost & ((1 << METRES_BITS) - 1))
    return (np.int64(np.rint(share * ms)) << METRES_BITS) + np.int64(np.rint(share * centimetres))


@compiled
def _prepare(points, streets, costs, arriving, out):  # type: ignore[no-untyped-def]
    """How cars may set off from points or reach them: along the edge, its opposite, or all edges of a junction.

    Writes for each point, shape (most, n): the states, their numbers, and the cost from the point to the edge's end or,
    less than nothing, what an arrival leaves undriven; how many there are, and the junction that the point is at.
    """
    (edge, fraction), (sites, leaving, entering, (begin, variant, number)) = points, streets
    first, others = entering if arriving else leaving
    states, numbers, parts, count, junction = out
    for i in range(len(edge)):
        on, share, size, node = edge[i], fraction[i], 0, _NO_NODE
        if on >= 0 and share <= AT_JUNCTION:
            node = sites[on, TAIL]
        elif on >= 0 and share >= 1.0 - AT_JUNCTION:
            node = sites[on, HEAD]
        ways = 0 if on < 0 else first[node + 1] - first[node] if node >= 0 else 1 + (sites[on, OPPOSITE] >= 0)
        for way in range(ways):
            if node >= 0:
                each = others[first[node] + way]
                number_of, cost, beyond = sites[each, NUMBER], costs[each, 0], 0.0 if arriving else 1.0
            else:
                each = on if way == 0 else sites[on, OPPOSITE]
                number_of, cost, beyond = sites[on, NUMBER + way], costs[on, way], share if way else 1.0 - share
            part = _part(cost, beyond)
            part = -part if arriving and cost < CLOSED else part
            states[size, i], numbers[size, i], parts[size, i] = each, number_of, part
            size += 1
            for k in (
                range(begin[each], begin[each + 1])
                if arriving and sites[each if node >= 0 else on, FURTHER]
                else range(0)
            ):
                states[size, i], numbers[size, i], parts[size, i] = variant[k], number[variant[k]], part
                size += 1
        count[i], junction[i] = size, node


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
def _thorough(departures, arrivals, i, k, net, metric):  # type: ignore[no-untyped-def]
    """The least cost of a pair of points, the states it starts and ends in, and the cost from one to the other."""
    (states, numbers, rest, ways_out, _), (ends, end_numbers, less, ways_in, _) = departures, arrivals
    _, turn_costs, labels = metric
    best, start, last, between = np.int64(CLOSED), np.int32(-1), np.int32(-1), np.int64(0)
    for one in range(ways_out[i]):
        for other in range(ways_in[k]):
            cost = _cost(numbers[one, i], end_numbers[other, k], net[2], labels)
            if states[one, i] == ends[other, k] and rest[one, i] + less[other, k] < 0:  # behind on the same edge
                cost = _round_cost(states[one, i], ends[other, k], turn_costs, net, labels)
            total = rest[one, i] + cost + less[other, k]
            if rest[one, i] < CLOSED and total < min(best, _FAR):
                best, start, last, between = total, states[one, i], ends[other, k], cost
    return best, start, last, between


@compiled
def _blocks(departures, arrivals, out):  # type: ignore[no-untyped-def]
    """Split the rows into blocks of two departures and two arrivals, as places in their ways.

    Rows without a block get their cost at once: CLOSED, nothing at one junction, _UNKNOWN where an end lies behind its
    origin on the same edge.
    """
    (_, numbers, rest, ways_out, junction), (_, end_numbers, less, ways_in, end_junction) = departures, arrivals
    total = 0
    for row in range(len(out)):
        i, k = min(row, len(ways_out) - 1), min(row, len(ways_in) - 1)
        total += ((ways_out[i] + 1) >> 1) * ((ways_in[k] + 1) >> 1)
    blocks, size = np.empty((total, 5), np.int32), 0
    for row in range(len(out)):
        i, k = min(row, len(ways_out) - 1), min(row, len(ways_in) - 1)
        out[row] = CLOSED
        if junction[i] >= 0 and junction[i] == end_junction[k]:
            out[row] = 0
            continue
        for one in range(ways_out[i]):
            for other in range(ways_in[k]):
                if numbers[one, i] == end_numbers[other, k] and rest[one, i] + less[other, k] < 0:
                    out[row] = _UNKNOWN
        for one in range(0, ways_out[i] if out[row] != _UNKNOWN else 0, 2):
            for other in range(0, ways_in[k], 2):
                blocks[size, 0], blocks[size, 1], blocks[size, 2] = row, one, min(one + 1, ways_out[i] - 1)
                blocks[size, 3], blocks[size, 4] = other, min(other + 1, ways_in[k] - 1)
                size += 1
    return blocks[:size]


@compiled
def _quick(departures, arrivals, tree, labels, out):  # type: ignore[no-untyped-def]
    """The least cost of rows; those that it cannot answer are marked with _UNKNOWN.

    Two departures and two arrivals are looked at in one go: both directions of a street have labels that are mostly
    equally long. What has to be fetched from all over the memory is fetched for all blocks side by side.
    """
    (_, numbers, parts, ways_out, _), (_, end_numbers, end_parts, ways_in, _) = departures, arrivals
    (lowest, at), (to_ancestor, from_ancestor) = tree, labels
    blocks = _blocks(departures, arrivals, out)
    common, begin = np.empty((len(blocks), 5), np.int64), np.empty((len(blocks), 4), np.int64)
    for n in range(len(blocks)):
        i, k = min(blocks[n, 0], len(ways_out) - 1), min(blocks[n, 0], len(ways_in) - 1)
        least = np.int64(1 << 30)
        for pair in range(4):
            a, b = numbers[blocks[n, 1 + (pair >> 1)], i], end_numbers[blocks[n, 3 + (pair & 1)], k]
            common[n, pair] = _common(a, b, lowest) if a != b else at[a + 1] - at[a]
            least = min(least, common[n, pair])
        common[n, 4] = least
        for way in range(2):
            begin[n, way] = at[numbers[blocks[n, 1 + way], i]]
            begin[n, 2 + way] = at[end_numbers[blocks[n, 3 + way], k]]
    for n in range(len(blocks)):
        row, count = blocks[n, 0], common[n, 4]
        i, k = min(row, len(ways_out) - 1), min(row, len(ways_in) - 1)
        c1, c2 = parts[blocks[n, 1], i], parts[blocks[n, 2], i]
        d1, d2 = end_parts[blocks[n, 3], k], end_parts[blocks[n, 4], k]
        x1, x2 = to_ancestor[begin[n, 0] :][:count], to_ancestor[begin[n, 1] :][:count]
        y1, y2 = from_ancestor[begin[n, 2] :][:count], from_ancestor[begin[n, 3] :][:count]
        best = np.int64(CLOSED)
        for m in range(count):
            best = min(best, min(x1[m] + c1, x2[m] + c2) + min(y1[m] + d1, y2[m] + d2))
        for pair in range(4):
            one, other = pair >> 1, pair & 1
            ends = parts[blocks[n, 1 + one], i] + end_parts[blocks[n, 3 + other], k]
            for m in range(count, common[n, pair]):
                best = min(best, to_ancestor[begin[n, one] + m] + from_ancestor[begin[n, 2 + other] + m] + ends)
        out[row] = min(out[row], best)


@compiled
def _room(rows, most):  # type: ignore[no-untyped-def]
    """Where the ways of so many points go."""
    shape = (most, rows)
    return (
        np.empty(shape, np.int32),
        np.empty(shape, np.int32),
        np.empty(shape, np.int64),
        np.empty(rows, np.int64),
        np.empty(rows, np.int64),
    )


@compiled
def travel(origins, ends, streets, net, metric, out):  # type: ignore[no-untyped-def]
    """Seconds and metres of the fastest way of every pair, inf where there is none.

    Points are edges and fractions of them, edge -1 off the road; one origin or one end serves all rows.
    """
    (from_edge, from_fraction), (to_edge, to_fraction), (seconds, metres) = origins, ends, out
    rows = min(_ROWS, len(seconds))
    found = np.empty(rows, np.int64)
    for first in range(0, len(seconds), _ROWS):
        last = min(first + _ROWS, len(seconds))
        a, b = (first, last) if len(from_edge) > 1 else (0, 1)
        c, d = (first, last) if len(to_edge) > 1 else (0, 1)
        departures, arrivals = _room(b - a, net[3]), _room(d - c, net[3])
        _prepare((from_edge[a:b], from_fraction[a:b]), streets, metric[0], False, departures)
        _prepare((to_edge[c:d], to_fraction[c:d]), streets, metric[0], True, arrivals)
        _quick(departures, arrivals, net[2], metric[2], found[: last - first])
        for row in range(last - first):
            cost = found[row]
            if cost == _UNKNOWN:
                cost, _, _, _ = _thorough(departures, arrivals, min(row, b - a - 1), min(row, d - c - 1), net, metric)
            far = cost >= _FAR
            seconds[first + row] = np.inf if far else np.float64(cost >> METRES_BITS) / 1000.0
            metres[first + row] = np.inf if far else np.float64(cost & ((1 << METRES_BITS) - 1)) / 100.0


@compiled
def find_way(origin, end, streets, net, metric):  # type: ignore[no-untyped-def]
    """The first state of the fastest way between two points on the road and its turns; -1 where there is no way.

    The points are not at one junction; arrays of shape (1,).
    """
    departures, arrivals = _room(1, net[3]), _room(1, net[3])
    _prepare(origin, streets, metric[0], False, departures)
    _prepare(end, streets, metric[0], True, arrivals)
    cost, state, last, between = _thorough(departures, arrivals, 0, 0, net, metric)
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
