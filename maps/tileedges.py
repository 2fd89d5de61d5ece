"""The directed edges of all tiles together, and the junctions they join."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse
from scipy.sparse.csgraph import connected_components

from core.errors import BadFile
from core.geo import BoolArray
from maps.roads import NO_EDGE, Int64Array, UInt8Array
from maps.tilefile import AUTO_ACCESS, ID_BITS, TILE_BITS, Tile, Words, bits, places

_IMPASSABLE = 7  # the surface of roads that no car can drive


@dataclass(frozen=True, slots=True)
class Edges:
    """Directed edges of all tiles, before anything is left out; arrays of shape (edges,).

    `tail` and `head` are rows of nodes, of which a junction has one on each level of the hierarchy. `local` is an
    edge's place among the edges that leave its tail, on all levels, and `opposite_local` its opposite's place at the
    head; bit k of `banned` forbids to go on along the edge whose place at the head is k. `private` roads are for those
    alone who go there.
    """

    graph_id: Int64Array
    tail: Int64Array
    head: Int64Array
    opposite: Int64Array
    drivable: BoolArray
    forward: BoolArray
    kph: Int64Array
    metres: Int64Array
    road_class: UInt8Array
    use: Int64Array
    toll: BoolArray
    private: BoolArray
    banned: Int64Array
    local: Int64Array
    opposite_local: Int64Array
    info: Int64Array


def join(tiles: list[Tile]) -> tuple[Edges, Words]:
    """The edges of all tiles, and the words of their nodes, shape (nodes, 4). Raises BadFile."""
    nodes = np.concatenate([tile.nodes for tile in tiles])
    words = np.concatenate([tile.edges for tile in tiles]).T
    leaving = bits(nodes[:, 1], 21, 7)
    tail = np.repeat(np.arange(len(nodes)), leaving)
    if len(tail) != words.shape[1]:
        raise BadFile("the tiles' nodes and edges do not belong together")
    per_tile = [len(tile.edges) for tile in tiles]
    head = places(tiles, bits(words[0], 0, ID_BITS), of_nodes=True)
    # the opposite edge is the opp_index-th edge that leaves the head
    opposite = np.where(head >= 0, (np.cumsum(leaving) - leaving)[head] + bits(words[0], 54, 7), NO_EDGE)
    info_starts = np.cumsum([0] + [len(tile.infos) for tile in tiles])[:-1]
    shortcut = bits(words[5], 60, 1) == 1
    kph = bits(words[2], 0, 8)
    passable = bits(words[2], 57, 3) != _IMPASSABLE
    return Edges(
        graph_id=np.concatenate(
            [tile.key | (np.arange(n) << TILE_BITS) for tile, n in zip(tiles, per_tile, strict=True)]
        ),
        tail=tail,
        head=head,
        opposite=opposite,
        drivable=(bits(words[3], 0, 12) & AUTO_ACCESS > 0) & ~shortcut & (kph > 0) & passable & (head >= 0),
        forward=bits(words[0], 61, 1) == 1,
        kph=kph,
        metres=bits(words[4], 32, 24),
        road_class=bits(words[2], 54, 3).astype(np.uint8),
        use=bits(words[2], 40, 6),
        toll=bits(words[2], 60, 1) == 1,
        private=bits(words[1], 62, 1) == 1,
        banned=bits(words[0], 46, 8),
        local=bits(words[5], 32, 7),
        opposite_local=bits(words[5], 39, 7),
        info=np.repeat(info_starts, per_tile) + bits(words[1], 0, 25),
    ), nodes


def junctions(tiles: list[Tile]) -> Int64Array:
    """One number per junction for every node: the copies of a junction are joined by transitions; shape (nodes,)."""
    node_count = sum(len(tile.nodes) for tile in tiles)
    counts = np.concatenate([bits(tile.nodes[:, 2], 21, 3) for tile in tiles])
    here = np.repeat(np.arange(node_count), counts)
    there = places(tiles, bits(np.concatenate([tile.transitions for tile in tiles]), 0, ID_BITS), of_nodes=True)
    found = there >= 0
    links = sparse.csr_matrix((np.ones(found.sum()), (here[found], there[found])), shape=(node_count, node_count))
    return np.asarray(connected_components(links, directed=False)[1]).astype(np.int64)
