"""Labels on the elimination tree: bulk travel times as a minimum over two short rows.

A state's label holds the cost to each of its ancestors, root first, and another one the cost from each. The fastest way
between two states passes one of their common ancestors, which are the first entries of both rows (Ouyang et al., When
hierarchy meets 2-hop-labeling, 2018, on a customizable tree). New weights are customised bottom-up and filled top-down.

A cost is one number: milliseconds above, centimetres of road in the lower 32 bits. So the least cost is the fastest
way, of equally fast ones the shortest, and both parts of a sum are right. Costs of CLOSED and more are no way at all.
"""

from __future__ import annotations

import numpy as np

from maps.kernels import compiled

METRES_BITS = 32
CLOSED = 1 << 61  # two of them still fit one number
_METRES = (1 << METRES_BITS) - 1
_AT_JUNCTION = 1e-9  # fractions nearer to an end than this are the junction itself
_NO_NODE = -1


@compiled
def customise(tree, turn_costs, rising, falling):  # type: ignore[no-untyped-def]
    """The cost of every row of `up`, to the ancestor (`rising`) and from it (`falling`), by way of lower states."""
    first, up, slot, rises = tree
    rising[:] = CLOSED
    falling[:] = CLOSED
    for turn in range(len(slot)):
        row = slot[turn]
        if row >= 0 and rises[turn]:
            rising[row] = min(rising[row], turn_costs[turn])
        elif row >= 0:
            falling[row] = min(falling[row], turn_costs[turn])
    for v in range(len(first) - 2, -1, -1):
        for k in range(first[v], first[v + 1]):
            middle, to_middle, from_middle = up[k], rising[k], falling[k]
            row = first[middle]
            for i in range(first[v], k):
                while up[row] < up[i]:
                    row += 1
                rising[row] = min(rising[row], from_middle + rising[i])
                falling[row] = min(falling[row], falling[i] + to_middle)


@compiled
def fill(tree, rising, falling, labels):  # type: ignore[no-untyped-def]
    """The labels of every state from those of its ancestors."""
    first, up, depth, at = tree
    to_ancestor, from_ancestor = labels
    for v in range(len(depth)):
        begin, own = at[v], depth[v]
        to_ancestor[begin : begin + own] = CLOSED
        from_ancestor[begin : begin + own] = CLOSED
        to_ancestor[begin + own] = 0
        from_ancestor[begin + own] = 0
        for row in range(first[v], first[v + 1]):
            above = up[row]
            count, there = depth[above] + 1, at[above]
            there_to, here_to = to_ancestor[there : there + count], to_ancestor[begin : begin + count]
            there_from, here_from = from_ancestor[there : there + count], from_ancestor[begin : begin + count]
            cost_to, cost_from = rising[row], falling[row]
            for i in range(count):
                here_to[i] = min(here_to[i], cost_to + there_to[i])
                here_from[i] = min(here_from[i], cost_from + there_from[i])


@compiled
def _cost(a, b, tree, labels):  # type: ignore[no-untyped-def]
    """The least cost from state to state, given by number: from the end of one edge to the end of the other."""
    lowest, at = tree
    to_ancestor, from_ancestor = labels
    if a == b:
        return 0
    low, high = min(a, b) + 1, max(a, b)
    row = 0
    while 2 << row <= high - low + 1:
        row += 1
    common = min(lowest[row, low], lowest[row, high - (1 << row) + 1])
    begin, end = at[a], at[b]
    there, back = to_ancestor[begin : begin + common], from_ancestor[end : end + common]
    best = np.int64(CLOSED)
    for i in range(common):
        best = min(best, there[i] + back[i])
    return best


@compiled
def _junction(edge, fraction, ends):  # type: ignore[no-untyped-def]
    """The junction that a point on an edge is at, _NO_NODE between junctions."""
    tail, head = ends
    if fraction <= _AT_JUNCTION:
        return tail[edge]
    return head[edge] if fraction >= 1.0 - _AT_JUNCTION else _NO_NODE


@compiled
def _departures(edge, fraction, streets, edges, fractions):  # type: ignore[no-untyped-def]
    """How a car at a point may set off: along its edge, its opposite, or any edge that leaves the junction it is at."""
    ends, opposite, leaving, _, _ = streets
    node = _junction(edge, fraction, ends)
    if node >= 0:
        first, leave = leaving
        count = first[node + 1] - first[node]
        for k in range(count):
            edges[k], fractions[k] = leave[first[node] + k], 0.0
        return count
    edges[0], fractions[0] = edge, fraction
    if opposite[edge] < 0:
        return 1
    edges[1], fractions[1] = opposite[edge], 1.0 - fraction
    return 2


@compiled
def _arrivals(edge, fraction, streets, states, fractions):  # type: ignore[no-untyped-def]
    """How a car may reach a point, as states: on its edge, its opposite, or any edge that enters its junction."""
    ends, opposite, _, entering, variants = streets
    node = _junction(edge, fraction, ends)
    first, enter = entering
    count = first[node + 1] - first[node] if node >= 0 else 1 + (opposite[edge] >= 0)
    size = 0
    for k in range(count):
        if node >= 0:
            on, share = enter[first[node] + k], 1.0
        elif k == 0:
            on, share = edge, fraction
        else:
            on, share = opposite[edge], 1.0 - fraction
        begin, state = variants
        for i in range(begin[on], begin[on + 1]):
            states[size], fractions[size] = state[i], share
            size += 1
    return size


@compiled
def _round_cost(edge, state, turns, number, tree, labels):  # type: ignore[no-untyped-def]
    """The least cost of leaving an edge at its end and coming back to the end of it, in a state of it."""
    first, after, turn_costs = turns
    best = np.int64(CLOSED)
    for turn in range(first[edge], first[edge + 1]):
        if turn_costs[turn] < CLOSED:
            best = min(best, turn_costs[turn] + _cost(number[after[turn]], number[state], tree, labels))
    return best


@compiled
def _best_way(departures, arrivals, net, metric):  # type: ignore[no-untyped-def]
    """The fastest of all ways between two points: ms, metres, departure, arrival, and whether it stays on the edge."""
    edges, from_share, state_edge = departures
    states, to_share = arrivals
    number, turns, tree = net
    costs, turn_costs, labels = metric
    best_ms, best_m, best = np.inf, np.inf, (-1, -1, False)
    for i in range(len(edges)):
        edge = edges[i]
        if costs[edge] >= CLOSED:
            continue
        edge_ms, edge_m = np.float64(costs[edge] >> METRES_BITS), np.float64(costs[edge] & _METRES)
        left = 1.0 - from_share[i]
        for k in range(len(states)):
            state = states[k]
            last = costs[state_edge[state]]
            last_ms, last_m = np.float64(last >> METRES_BITS), np.float64(last & _METRES)
            if last >= CLOSED or (left * edge_ms + to_share[k] * last_ms > best_ms and state != edge):
                continue
            direct = state == edge and to_share[k] >= from_share[i]
            if direct:
                ms, m = (to_share[k] - from_share[i]) * edge_ms, (to_share[k] - from_share[i]) * edge_m
            else:
                if state == edge:
                    cost = _round_cost(edge, state, (turns[0], turns[1], turn_costs), number, tree, labels)
                else:
                    cost = _cost(number[edge], number[state], tree, labels)
                if cost >= CLOSED:
                    continue
                rest = 1.0 - to_share[k]
                ms = left * edge_ms + np.float64(cost >> METRES_BITS) - rest * last_ms
                m = left * edge_m + np.float64(cost & _METRES) - rest * last_m
            if ms < best_ms or (ms == best_ms and m < best_m):
                best_ms, best_m, best = ms, m, (i, k, direct)
    return best_ms, best_m, best


@compiled
def travel(origins, ends, streets, net, metric, out):  # type: ignore[no-untyped-def]
    """Seconds and metres of the fastest way of every pair, inf where there is none.

    Points are edges and fractions of them, edge -1 off the road; one origin or one end serves all rows.
    """
    from_edge, from_fraction = origins
    to_edge, to_fraction = ends
    number, turns, tree, state_edge, most = net
    seconds, metres = out
    edges, from_share = np.empty(most, np.int32), np.empty(most)
    states, to_share = np.empty(most, np.int32), np.empty(most)
    for row in range(len(seconds)):
        i = row if len(from_edge) > 1 else 0
        k = row if len(to_edge) > 1 else 0
        seconds[row], metres[row] = np.inf, np.inf
        if from_edge[i] < 0 or to_edge[k] < 0:
            continue
        here = _junction(from_edge[i], from_fraction[i], streets[0])
        if here >= 0 and here == _junction(to_edge[k], to_fraction[k], streets[0]):
            seconds[row], metres[row] = 0.0, 0.0
            continue
        ways_out = _departures(from_edge[i], from_fraction[i], streets, edges, from_share)
        ways_in = _arrivals(to_edge[k], to_fraction[k], streets, states, to_share)
        departures = (edges[:ways_out], from_share[:ways_out], state_edge)
        arrivals = (states[:ways_in], to_share[:ways_in])
        ms, m, _ = _best_way(departures, arrivals, (number, turns, tree), metric)
        seconds[row], metres[row] = ms / 1000.0, m / 100.0


@compiled
def find_way(origin, end, streets, net, metric):  # type: ignore[no-untyped-def]
    """The fastest way between two points on the road: the states it passes, and where it leaves the first and ends.

    No states where there is no way.
    """
    here = _junction(origin[0], origin[1], streets[0])
    if here >= 0 and here == _junction(end[0], end[1], streets[0]):
        return np.full(1, origin[0], np.int32), origin[1], origin[1]
    number, turns, tree, state_edge, most = net
    edges, from_share = np.empty(most, np.int32), np.empty(most)
    states, to_share = np.empty(most, np.int32), np.empty(most)
    ways_out = _departures(origin[0], origin[1], streets, edges, from_share)
    ways_in = _arrivals(end[0], end[1], streets, states, to_share)
    departures = (edges[:ways_out], from_share[:ways_out], state_edge)
    arrivals = (states[:ways_in], to_share[:ways_in])
    ms, _, (i, k, direct) = _best_way(departures, arrivals, (number, turns, tree), metric)
    if ms == np.inf:
        return np.empty(0, np.int32), 0.0, 0.0
    if direct:
        return edges[i : i + 1].copy(), from_share[i], to_share[k]
    passed = _descend(edges[i], states[k], (number, turns, tree), metric)
    return passed, from_share[i], to_share[k]


@compiled
def _descend(state, end, net, metric):  # type: ignore[no-untyped-def]
    """The states of a fastest way: always a turn after which the rest costs what is left."""
    number, turns, tree = net
    first, after = turns
    _, turn_costs, labels = metric
    rest = _cost(number[state], number[end], tree, labels)
    if state == end:
        rest = _round_cost(state, end, (first, after, turn_costs), number, tree, labels)
    passed, size = np.empty(64, np.int32), 1
    passed[0] = state
    while rest > 0:  # every edge costs at least a millisecond, so it falls with each turn
        found = False
        for turn in range(first[state], first[state + 1]):
            onward = rest - turn_costs[turn]
            if onward >= 0 and _cost(number[after[turn]], number[end], tree, labels) == onward:
                state, rest, found = after[turn], onward, True
                break
        assert found
        if size == len(passed):
            passed = np.concatenate((passed, np.empty(size, np.int32)))
        passed[size] = state
        size += 1
    return passed[:size]
