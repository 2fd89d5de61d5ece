"""How travel times are learned from drives."""

from __future__ import annotations

import msgspec


class TrafficSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Learned travel times. A strength is how much free-flow driving, in seconds, weighs as much as the prior."""

    every_s: float = 60.0  # between two sets of weights
    keep_every_s: float = 600.0  # between two savings of what was learned
    half_life_s: float = 2_419_200.0  # four weeks: how fast the history of hours and edges is forgotten
    recent_half_life_s: float = 1_200.0  # how fast the present moment is forgotten
    trip_half_life_s: float = 3_600.0  # how fast finished trips are forgotten
    class_strength_s: float = 600.0  # of a road class, against all roads
    hour_strength_s: float = 3_600.0  # of an hour of the week, against all hours
    class_hour_strength_s: float = 600.0  # of a road class in an hour
    recent_strength_s: float = 1_800.0  # of the present moment, against the same hour of other weeks
    edge_strength_s: float = 30.0  # of an edge, against its road class
    edge_hour_strength_s: float = 120.0  # of an edge in an hour of the week, against the edge
    trip_strength: float = 3.0  # finished trips
    max_gap_s: float = 60.0  # pings farther apart say nothing of the roads between them
    top_speed_mps: float = 45.0  # nothing is learned to be faster
    max_slowdown: float = 20.0  # times free flow; what is slower is closed, by an operator
    max_trails: int = 500  # read and matched for one set of weights
    least_evidence_s: float = 60.0  # of free-flow driving, before a road's condition is reported
    congested_ratio: float = 1.5  # times its usual time, with many of our cars on it
    congested_cars_per_km: float = 2.0  # of our cars, from which on a slow road is congested
    conditions_max: int = 2_000  # streets in one report
    good_ratio: float = 0.8  # of the time usual for its road class
    poor_ratio: float = 1.6  # times what is usual for its road class, with few cars on it
