"""ridepy on a workload in a file, in the interpreter that has ridepy; it knows nothing of hexcab.

    python ridepy_run.py WORKLOAD.json     {"nodes": n, "edges": [[a, b, seconds], ...], "starts": [node, ...],
                                            "requests": [[at_s, origin, destination], ...], "max_wait_s": s}

As its authors would run it at speed: the C++ vehicle state, graph space and brute-force dispatcher, one seat per cab,
pickup window [request, request + max_wait_s]. The graph is undirected, as ridepy's C++ graph space is. Prints one JSON
object per round (CPU seconds of the simulation alone, served, waits), each after a line was read from standard input.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
import types
from importlib import metadata
from pathlib import Path
from typing import Any

# ridepy 2.10 asks pkg_resources for its own version, which newer setuptools no longer carry
shim: Any = types.ModuleType("pkg_resources")
shim.get_distribution = metadata.distribution
shim.DistributionNotFound = metadata.PackageNotFoundError
sys.modules.setdefault("pkg_resources", shim)

nx, data, fleet_state, dispatchers, spaces, vehicle = (
    importlib.import_module(name)
    for name in (
        "networkx",
        "ridepy.data_structures_cython",
        "ridepy.fleet_state",
        "ridepy.util.dispatchers_cython",
        "ridepy.util.spaces_cython",
        "ridepy.vehicle_state_cython",
    )
)


def simulate(work: dict[str, Any]) -> dict[str, Any]:
    """One run from a fresh fleet."""
    graph = nx.Graph()
    graph.add_nodes_from(range(work["nodes"]))
    for tail, head, seconds in work["edges"]:
        if not graph.has_edge(tail, head) or graph[tail][head]["distance"] > seconds:
            graph.add_edge(tail, head, distance=seconds)
    space = spaces.Graph.from_nx(graph, velocity=1.0, make_attribute_distance="distance")
    fleet = fleet_state.SlowSimpleFleetState(
        initial_locations=dict(enumerate(work["starts"])),
        vehicle_state_class=vehicle.VehicleState,
        space=space,
        dispatcher=dispatchers.BruteForceTotalTravelTimeMinimizingDispatcher(loc_type=space.loc_type),
        seat_capacities=1,
    )
    asked = [
        data.TransportationRequest(
            request_id=number,
            creation_timestamp=at_s,
            origin=origin,
            destination=destination,
            pickup_timewindow_min=at_s,
            pickup_timewindow_max=at_s + work["max_wait_s"],
            delivery_timewindow_min=0,
            delivery_timewindow_max=float("inf"),
        )
        for number, (at_s, origin, destination) in enumerate(work["requests"])
    ]
    begin = time.process_time()
    events = list(fleet.simulate(iter(asked)))
    cpu_s = time.process_time() - begin
    waits = sorted(
        event["timestamp"] - work["requests"][event["request_id"]][0]
        for event in events
        if event["event_type"] == "PickupEvent"
    )
    return {
        "cpu_s": cpu_s,
        "requests": len(asked),
        "served": len(waits),
        "wait_mean_s": sum(waits) / max(1, len(waits)),
        "wait_p95_s": waits[int(0.95 * len(waits))] if waits else 0.0,
        "version": metadata.version("ridepy"),
    }


if __name__ == "__main__":
    workload = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    for _line in sys.stdin:
        print(json.dumps(simulate(workload)), flush=True)
