"""Valhalla's tiles, read as a drivable road graph: same edges, same speeds, same turns, keyed by the same GraphIds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.errors import BadFile
from core.geo import FloatArray
from maps.edgeinfo import read_names, read_shapes
from maps.roads import NO_EDGE, Int64Array, RoadGraph
from maps.tileedges import Edges, join, junctions
from maps.tilefile import Tile, banned_ways, read_tile
from maps.tileturns import turn_pairs, turn_seconds
from maps.turns import Turns, connected_edges, forbid, not_through, renumbered


@dataclass(frozen=True, slots=True)
class Drivable:
    """What was read: the strongly connected part with its turns, and what share of the drivable junctions that is.

    `node_number` is what the source calls each junction, shape (nodes,), where it numbers them.
    """

    roads: RoadGraph
    turns: Turns
    connected_share: float
    node_number: Int64Array | None = None


def read_tiles(tile_dir: Path) -> Drivable:
    """The drivable roads of a folder of tiles. Raises BadFile when a tile is damaged or nothing is drivable."""
    tiles = [read_tile(path) for path in sorted(tile_dir.rglob("*.gph"))]
    tiles = [tile for tile in tiles if len(tile.nodes)]
    if not tiles:
        raise BadFile(f"{tile_dir}: there are no roads in it")
    edges, nodes = join(tiles)
    rows = np.flatnonzero(edges.drivable)
    if not len(rows):
        raise BadFile(f"{tile_dir}: there are no roads that cars may use")
    junction = junctions(tiles)
    before, after = turn_pairs(edges, nodes, rows, junction)
    ms = np.rint(1000 * turn_seconds(edges, nodes, rows[before], rows[after]))
    own = np.arange(len(rows), dtype=np.int32)
    turns = Turns(own, before.astype(np.int32), after.astype(np.int32), ms.astype(np.int32))
    turns = forbid(turns, _ways_of(banned_ways(tiles), rows, len(edges.tail)))

    inside = connected_edges(turns)
    if inside.sum() < 2:
        raise BadFile(f"{tile_dir}: no road leads back to where it started")
    used = np.unique(junction[np.concatenate([edges.tail[rows], edges.head[rows]])])
    reached = np.unique(junction[np.concatenate([edges.tail[rows[inside]], edges.head[rows[inside]]])])
    kept = np.flatnonzero(inside)
    kept = kept[np.lexsort((edges.graph_id[rows[kept]], junction[edges.tail[rows[kept]]]))]
    roads = _graph(tiles, edges, rows[kept], junction)
    turns = not_through(renumbered(turns, kept), edges.private[rows[kept]])
    return Drivable(roads, turns, len(reached) / len(used))


def _ways_of(ways: list[list[int]], rows: Int64Array, edge_count: int) -> list[list[int]]:
    """The ways as places in `rows`, without those that lead over other edges."""
    place = np.full(edge_count + 1, NO_EDGE)
    place[rows] = np.arange(len(rows))
    found = (place[way].tolist() for way in ways)
    return [way for way in found if NO_EDGE not in way]


def _graph(tiles: list[Tile], edges: Edges, rows: Int64Array, junction: Int64Array) -> RoadGraph:
    """The graph of some edges, which are sorted by the junction that they leave."""
    infos = np.concatenate([tile.infos for tile in tiles])
    point_at, lat, lng = read_shapes(infos, edges.info[rows], edges.forward[rows])
    node_number, first_edge, tail = np.unique(junction[edges.tail[rows]], return_index=True, return_inverse=True)
    head = np.searchsorted(node_number, junction[edges.head[rows]])
    new_row = np.full(len(edges.tail) + 1, NO_EDGE)
    new_row[rows] = np.arange(len(rows))
    opposite = new_row[edges.opposite[rows]]
    mirrored = (opposite != NO_EDGE) & (tail[opposite] == head) & (head[opposite] == tail)
    metres: FloatArray = np.maximum(edges.metres[rows], 1).astype(np.float64)
    tile_of = np.repeat(np.arange(len(tiles)), [len(tile.edges) for tile in tiles])
    name, names = read_names(infos, edges.info[rows], tile_of[rows], [tile.texts for tile in tiles])
    starts = point_at[first_edge]
    return RoadGraph(
        node_lat=lat[starts],
        node_lng=lng[starts],
        tail=tail.astype(np.int32),
        head=head.astype(np.int32),
        seconds=metres * 3.6 / edges.kph[rows],
        metres=metres,
        road_class=edges.road_class[rows],
        opposite=np.where(mirrored, opposite, NO_EDGE).astype(np.int32),
        graph_id=edges.graph_id[rows],
        name=name,
        point_at=point_at,
        point_lat=lat,
        point_lng=lng,
        names=tuple(names),
    )
