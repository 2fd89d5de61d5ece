"""Which turns Valhalla's tiles allow, and the time that Valhalla counts for each.

Honoured: turn restrictions, barriers at junctions, no u-turn where a car can go on; that private roads are no way
through is added by `maps/tiles.py`. Timed: the angle, the traffic
light, u-turns, gates, toll booths, ferries and borders, as Valhalla's car costing does (sif: autocost.cc,
dynamiccost.h, osrm_car_duration.h). Its penalties, which sway its choice of a way but cost no time, are left out.
"""

from __future__ import annotations

import numpy as np

from core.geo import BoolArray, FloatArray
from maps.roads import Int64Array
from maps.tileedges import Edges
from maps.tilefile import AUTO_ACCESS, Words, bits
from maps.turns import meeting, without_needless_u_turns

_KNOWN_PLACES = 8  # edges at a junction of which the tiles know headings and restrictions
_HEADING_STEP = 359.0 / 255.0
_TURN_S, _U_TURN_S, _LIGHT_S, _BIAS = 7.5, 20.0, 2.0, 1.075
_U_TURN_DEG = (160, 200)
_GATE, _BOLLARD, _TOLL_BOOTH, _BORDER = 1, 2, 3, 10  # kinds of nodes
_GATE_S, _TOLL_S, _BORDER_S, _FERRY_S = 30.0, 15.0, 600.0, 300.0
_FERRIES = (41, 42)  # uses of an edge


def turn_pairs(edges: Edges, nodes: Words, rows: Int64Array, junction: Int64Array) -> tuple[Int64Array, Int64Array]:
    """The allowed turns among the edges `rows`, as places in `rows`; `junction` numbers the nodes."""
    before, after = meeting(junction[edges.tail[rows]], junction[edges.head[rows]])
    place = edges.local[rows][after]
    banned = edges.banned[rows][before] >> np.minimum(place, _KNOWN_PLACES) & 1 == 1
    back = np.full(len(edges.tail) + 1, -1)
    back[rows] = np.arange(len(rows))
    opposite = back[edges.opposite[rows]]
    closed = (bits(nodes[:, 0], 52, 12) & AUTO_ACCESS == 0)[edges.head[rows]][before]
    allowed = ~banned & (~closed | (opposite[before] == after))
    before, after = before[allowed], after[allowed]
    stay = without_needless_u_turns(before, after, opposite)
    return before[stay], after[stay]


def turn_seconds(edges: Edges, nodes: Words, before: Int64Array, after: Int64Array) -> FloatArray:
    """The time of turns between edges, given as rows of edges; shape (turns,)."""
    node = edges.tail[after]  # the copy of the junction on the level of the edge that is entered
    came = (_heading(nodes, node, edges.opposite_local[before]) + 180) % 360
    angle = (_heading(nodes, node, edges.local[after]) - came) % 360
    right = bits(nodes[:, 2], 43, 1)[node] == 1
    u_turn = (angle >= _U_TURN_DEG[0]) & (angle <= _U_TURN_DEG[1])
    fork = (bits(nodes[:, 2], 40, 3)[node] >= 2) | u_turn  # three ways and more, stored less one
    seconds = np.where(fork, np.where(right, _by_angle(right=True)[angle], _by_angle(right=False)[angle]), 0.0)
    seconds += _U_TURN_S * u_turn + _LIGHT_S * bits(nodes[:, 1], 61, 1)[node]

    kind, unsure, private = bits(nodes[:, 1], 53, 4), bits(nodes[:, 2], 44, 1) == 0, bits(nodes[:, 2], 45, 1) == 1
    shut = ((kind == _GATE) & unsure).astype(np.int64) + (((kind == _GATE) | (kind == _BOLLARD)) & private)
    seconds += (_GATE_S * shut + _BORDER_S * (kind == _BORDER))[node]
    seconds += _TOLL_S * ((kind == _TOLL_BOOTH)[node] | (edges.toll[after] & ~edges.toll[before]))
    for ferry in _FERRIES:
        seconds += _FERRY_S * ((edges.use[after] == ferry) & (edges.use[before] != ferry))
    return np.asarray(seconds)


def _heading(nodes: Words, node: Int64Array, place: Int64Array) -> Int64Array:
    """Degrees in which the edge at a place leaves a node."""
    known: BoolArray = place < _KNOWN_PLACES
    shift = (8 * np.where(known, place, 0)).astype(np.uint64)
    stored = ((nodes[node, 3] >> shift) & np.uint64(255)).astype(np.float64)
    return np.where(known, np.rint(stored * _HEADING_STEP), 0).astype(np.int64)


def _by_angle(*, right: bool) -> FloatArray:
    """Seconds by the angle in whole degrees clockwise; the turn across the other traffic takes longer."""
    angle = np.arange(360)
    clockwise = angle <= 180
    bias = np.where(clockwise == right, 1 / _BIAS, _BIAS)
    bend = np.where(clockwise, angle, 360 - angle) / 180
    return np.asarray(_TURN_S / (1 + np.exp(-(13 * bias * bend - 6.5 / bias))))
