"""Valhalla's tiles, read as a drivable road graph: same edges, same speeds, keyed by the same GraphIds.

The layout is that of Valhalla 3.x (baldr: graphtileheader.h, nodeinfo.h, directededge.h, edgeinfo.h). All fields are
little-endian bit fields of 64-bit words, so a tile is read as a few numpy views.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse
from scipy.sparse.csgraph import connected_components

from core.errors import BadFile
from core.geo import BoolArray, FloatArray
from maps.edgeinfo import read_names, read_shapes
from maps.roads import NO_EDGE, Int64Array, RoadGraph, UInt8Array

_HEADER_BYTES, _NODE_WORDS, _EDGE_WORDS = 272, 4, 6
_EDGEINFO_AT, _TEXT_AT = 104, 108  # where the header keeps these two offsets
_ID_BITS, _TILE_BITS = 46, 25  # a GraphId; its lower part names the tile, the rest the record within it
_AUTO_ACCESS = 1
_NO_ID = np.int64((1 << _ID_BITS) - 1)

Words = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class _Tile:
    """The raw records of one tile."""

    key: int
    nodes: Words
    transitions: Words
    edges: Words
    infos: UInt8Array
    texts: bytes


@dataclass(frozen=True, slots=True)
class _Edges:
    """Directed edges of all tiles, before anything is left out; arrays of shape (edges,)."""

    graph_id: Int64Array
    tail: Int64Array
    head: Int64Array
    opposite: Int64Array
    drivable: BoolArray
    forward: BoolArray
    kph: Int64Array
    metres: Int64Array
    road_class: UInt8Array
    info: Int64Array


def bits(words: Words, shift: int, width: int) -> Int64Array:
    """The bit field of so many bits from `shift` on, of every word."""
    return np.asarray((words >> np.uint64(shift)) & np.uint64((1 << width) - 1)).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Drivable:
    """What was read: the strongly connected part, and what share of the drivable junctions that is."""

    roads: RoadGraph
    connected_share: float


def read_tiles(tile_dir: Path) -> Drivable:
    """The drivable roads of a folder of tiles. Raises BadFile when a tile is damaged or nothing is drivable."""
    tiles = [_read_tile(path) for path in sorted(tile_dir.rglob("*.gph"))]
    tiles = [tile for tile in tiles if len(tile.nodes)]
    if not tiles:
        raise BadFile(f"{tile_dir}: there are no roads in it")
    edges, node_count = _join(tiles)
    merged = _merge_levels(tiles, node_count)
    keep = edges.drivable & (edges.head >= 0)
    if not keep.any():
        raise BadFile(f"{tile_dir}: there are no roads that cars may use")
    tail, head = merged[edges.tail], merged[edges.head]
    used = np.unique(np.concatenate([tail[keep], head[keep]]))
    network = sparse.csr_matrix((np.ones(keep.sum()), (tail[keep], head[keep])), shape=(merged.max() + 1,) * 2)
    _, part = connected_components(network, directed=True, connection="strong")
    largest = np.bincount(part[used]).argmax()
    keep &= (part[tail] == largest) & (part[head] == largest)
    if not keep.any():
        raise BadFile(f"{tile_dir}: no road leads back to where it started")
    share = float((part[used] == largest).sum() / len(used))
    return Drivable(_graph(tiles, edges, keep, (tail, head)), share)


def _read_tile(path: Path) -> _Tile:
    raw = np.fromfile(path, dtype=np.uint8)
    try:
        counts = raw[40:48].view("<u8")
        node_count, edge_count = int(bits(counts, 0, 21)[0]), int(bits(counts, 21, 21)[0])
        transition_count = int(bits(raw[48:56].view("<u8"), 0, 22)[0])
        nodes_end = _HEADER_BYTES + 8 * _NODE_WORDS * node_count
        transitions_end = nodes_end + 8 * transition_count
        edges_end = transitions_end + 8 * _EDGE_WORDS * edge_count
        infos_at, texts_at = (int(raw[at : at + 4].view("<u4")[0]) for at in (_EDGEINFO_AT, _TEXT_AT))
        return _Tile(
            key=int(bits(raw[:8].view("<u8"), 0, _TILE_BITS)[0]),
            nodes=raw[_HEADER_BYTES:nodes_end].view("<u8").reshape(node_count, _NODE_WORDS),
            transitions=raw[nodes_end:transitions_end].view("<u8"),
            edges=raw[transitions_end:edges_end].view("<u8").reshape(edge_count, _EDGE_WORDS),
            infos=raw[infos_at:texts_at],
            texts=raw[texts_at:].tobytes(),
        )
    except (ValueError, IndexError) as error:
        raise BadFile(f"{path}: not a whole Valhalla tile: {error}") from error


def _places(tiles: list[_Tile], ids: Int64Array, *, of_nodes: bool) -> Int64Array:
    """Row numbers, over all tiles in order, of the nodes or edges with these GraphIds; -1 where the tile is missing."""
    keys = np.array([tile.key for tile in tiles])
    sizes = np.array([len(tile.nodes) if of_nodes else len(tile.edges) for tile in tiles])
    starts = np.cumsum(sizes) - sizes
    order = np.argsort(keys)
    wanted = ids & ((1 << _TILE_BITS) - 1)
    at = order[np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)]
    row = starts[at] + (ids >> _TILE_BITS)
    return np.where((keys[at] == wanted) & (ids != _NO_ID), row, -1)


def _join(tiles: list[_Tile]) -> tuple[_Edges, int]:
    nodes = np.concatenate([tile.nodes for tile in tiles])
    words = np.concatenate([tile.edges for tile in tiles]).T
    node_of_edge = np.repeat(np.arange(len(nodes)), bits(nodes[:, 1], 21, 7))
    if len(node_of_edge) != words.shape[1]:
        raise BadFile("the tiles' nodes and edges do not belong together")
    per_tile = [len(tile.edges) for tile in tiles]
    head = _places(tiles, bits(words[0], 0, _ID_BITS), of_nodes=True)
    # the opposite edge is the opp_index-th edge that leaves the head
    first_edge = np.cumsum(bits(nodes[:, 1], 21, 7)) - bits(nodes[:, 1], 21, 7)
    opposite = np.where(head >= 0, first_edge[head] + bits(words[0], 54, 7), NO_EDGE)
    info_starts = np.cumsum([0] + [len(tile.infos) for tile in tiles])[:-1]
    shortcut = bits(words[5], 60, 1) == 1
    kph = bits(words[2], 0, 8)
    return _Edges(
        graph_id=np.concatenate(
            [tile.key | (np.arange(n) << _TILE_BITS) for tile, n in zip(tiles, per_tile, strict=True)]
        ),
        tail=node_of_edge,
        head=head,
        opposite=opposite,
        drivable=(bits(words[3], 0, 12) & _AUTO_ACCESS > 0) & ~shortcut & (kph > 0),
        forward=bits(words[0], 61, 1) == 1,
        kph=kph,
        metres=bits(words[4], 32, 24),
        road_class=bits(words[2], 54, 3).astype(np.uint8),
        info=np.repeat(info_starts, per_tile) + bits(words[1], 0, 25),
    ), len(nodes)


def _merge_levels(tiles: list[_Tile], node_count: int) -> Int64Array:
    """One number per junction: a junction has a copy on each level of the hierarchy, joined by transitions."""
    counts = np.concatenate([bits(tile.nodes[:, 2], 21, 3) for tile in tiles])
    here = np.repeat(np.arange(node_count), counts)
    there = _places(tiles, bits(np.concatenate([tile.transitions for tile in tiles]), 0, _ID_BITS), of_nodes=True)
    found = there >= 0
    links = sparse.csr_matrix((np.ones(found.sum()), (here[found], there[found])), shape=(node_count, node_count))
    return np.asarray(connected_components(links, directed=False)[1]).astype(np.int64)


def _graph(tiles: list[_Tile], edges: _Edges, keep: BoolArray, ends: tuple[Int64Array, Int64Array]) -> RoadGraph:
    rows = np.flatnonzero(keep)
    infos = np.concatenate([tile.infos for tile in tiles])
    point_at, lat, lng = read_shapes(infos, edges.info[rows], edges.forward[rows])
    tail, head = ends[0][rows], ends[1][rows]
    # junctions that are near each other get near numbers, so that a search stays in the processor's cache
    junctions, first_row = np.unique(tail, return_index=True)
    order = _along_curve(lat[point_at[first_row]], lng[point_at[first_row]])
    number = np.full(max(int(tail.max()), int(head.max())) + 1, -1)
    number[junctions[order]] = np.arange(len(junctions))
    by_tail = np.lexsort((edges.graph_id[rows], number[tail]))
    rows, tail, head = rows[by_tail], number[tail][by_tail], number[head][by_tail]
    point_at, lat, lng = _reorder(point_at, lat, lng, by_tail)

    new_row = np.full(len(keep) + 1, NO_EDGE)
    new_row[rows] = np.arange(len(rows))
    opposite = new_row[edges.opposite[rows]]
    mirrored = (opposite != NO_EDGE) & (tail[opposite] == head) & (head[opposite] == tail)
    metres = np.maximum(edges.metres[rows], 1).astype(np.float64)
    tile_of = np.repeat(np.arange(len(tiles)), [len(tile.edges) for tile in tiles])
    name, names = read_names(infos, edges.info[rows], tile_of[rows], [tile.texts for tile in tiles])
    starts = point_at[:-1][np.searchsorted(tail, np.arange(len(junctions)))]
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


def _along_curve(lat: FloatArray, lng: FloatArray) -> Int64Array:
    """The order of points along a Z-curve of 65,536 x 65,536 cells."""
    code = np.zeros(len(lat), dtype=np.int64)
    for values, offset in ((lng, 0), (lat, 1)):
        span = max(float(np.ptp(values)), 1e-9)
        cell = ((values - values.min()) / span * 65_535).astype(np.int64)
        for bit in range(16):
            code |= ((cell >> bit) & 1) << (2 * bit + offset)
    return np.argsort(code, kind="stable")


def _reorder(
    point_at: Int64Array, lat: FloatArray, lng: FloatArray, order: Int64Array
) -> tuple[Int64Array, FloatArray, FloatArray]:
    """The geometry of edges in another order."""
    sizes = np.diff(point_at)[order]
    at = np.concatenate([[0], np.cumsum(sizes)])
    points = np.repeat(point_at[:-1][order] - at[:-1], sizes) + np.arange(at[-1])
    return at, lat[points], lng[points]
