"""What no policy can pass: a bound from hindsight, by a flow of least cost.

Cabs flow from request to request: from i to j if a cab that serves i at once can be at j before j's patience ends. A
request is served once at most; serving it is worth WORTH_S seconds less those that it waits. A cab may wait
wherever it likes before it is asked, and lateness does not add up along its way; so the flow is at least as good as any
policy that carries one rider at a time, those that reposition included.
"""

from __future__ import annotations

import numpy as np

from core.errors import InvalidInput
from core.geo import FloatArray, IntArray
from simulator.fleet import Roads, Trips

WORTH_S = 600
_ROUNDING_S = 0.01  # of travel times: a bound must not miss a way because of it


def hindsight_bound(world: tuple[Trips, Roads, IntArray], max_wait_s: float, most: int) -> float:
    """The largest sum of (WORTH_S - wait) over served requests, in seconds; see the module.

    Raises InvalidInput bound_too_large for more than `most` requests: the flow has a branch for most pairs of them.
    """
    trips, roads, starts = world
    n, cabs = len(trips.at), len(starts)
    if n > most:
        raise InvalidInput(f"a bound is for at most {most} requests, there are {n}", code="bound_too_large")
    if n == 0:
        return 0.0
    way_s = roads.seconds[np.ix_(trips.pickup, trips.dropoff)].T + trips.egress_s[:, None] + trips.access_s
    free_at = trips.at + trips.direct_s
    late_s: FloatArray = np.maximum(free_at[:, None] + way_s - trips.at, 0.0)
    np.fill_diagonal(late_s, np.inf)
    first_s = np.maximum(roads.seconds[np.ix_(trips.pickup, starts)].T + trips.access_s - trips.at, 0.0)
    return _flow(n, cabs, (late_s, first_s), max_wait_s)


def _flow(n: int, cabs: int, lateness: tuple[FloatArray, FloatArray], max_wait_s: float) -> float:
    """Nodes: source, cabs, requests before and after their ride, sink."""
    from ortools.graph.python import min_cost_flow  # slow to load, and few runs ask for it

    late_s, first_s = lateness
    source, sink = 0, cabs + 1 + 2 * n
    before, after = cabs + 1 + np.arange(n), cabs + 1 + n + np.arange(n)
    cab = 1 + np.arange(cabs)
    in_time_s = max_wait_s + _ROUNDING_S
    a, to = np.nonzero(first_s <= in_time_s)
    b, then = np.nonzero(late_s <= in_time_s)
    arcs = [
        (np.full(cabs, source), cab, np.zeros(cabs)),
        (cab, np.full(cabs, sink), np.zeros(cabs)),
        (1 + a, before[to], first_s[a, to]),
        (before, after, np.full(n, -float(WORTH_S))),
        (after[b], before[then], late_s[b, then]),
        (after, np.full(n, sink), np.zeros(n)),
    ]
    tails, heads = (np.concatenate([arc[end] for arc in arcs]).astype(np.int64) for end in (0, 1))
    costs = np.floor(np.concatenate([arc[2] for arc in arcs]) + 1e-3).astype(np.int64)  # down: a bound stays one
    flow = min_cost_flow.SimpleMinCostFlow()
    flow.add_arcs_with_capacity_and_unit_cost(tails, heads, np.ones(len(tails), dtype=np.int64), costs)
    flow.set_nodes_supplies(np.array([source, sink]), np.array([cabs, -cabs]))
    if flow.solve() != flow.OPTIMAL:
        raise AssertionError("a flow that may leave every cab where it is has a solution")
    return -float(flow.optimal_cost())
