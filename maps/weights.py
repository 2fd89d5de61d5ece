"""Weights into labels: a state's label holds the cost to each of its ancestors, root first, another the cost from each.

New weights are customised bottom-up and filled top-down (Dibbelt, Strasser, Wagner, 2016; Ouyang et al., 2018).

A cost is one number: milliseconds above, centimetres of road in the lower 32 bits. So the least cost is the fastest
way, of equally fast ones the shortest, and both parts of a sum are right. Costs of CLOSED and more are no way at all.
"""

from __future__ import annotations

from maps.kernels import compiled

METRES_BITS = 32
CLOSED = 1 << 60  # four of them still fit one number


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
