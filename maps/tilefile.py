"""The records of Valhalla's tiles, as they lie in the files.

The layout is that of Valhalla 3.x (baldr: graphtileheader.h, nodeinfo.h, directededge.h, complexrestriction.h). All
fields are little-endian bit fields of 64-bit words, so a tile is read as a few numpy views.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from core.errors import BadFile
from maps.roads import Int64Array, UInt8Array

_HEADER_BYTES, _NODE_WORDS, _EDGE_WORDS, _BAN_WORDS = 272, 4, 6, 3
_BANS_AT, _BANS_END_AT, _INFOS_AT, _TEXTS_AT = 96, 100, 104, 108  # where the header keeps these offsets
ID_BITS, TILE_BITS = 46, 25  # a GraphId; its lower part names the tile, the rest the record within it
AUTO_ACCESS = 1
_NO_ID = np.int64((1 << ID_BITS) - 1)
_PROBABLE = (10, 11)  # restrictions that are only likely

Words = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Tile:
    """The raw records of one tile. `bans` are the turn restrictions that a mask cannot hold, by their last edge."""

    key: int
    nodes: Words
    transitions: Words
    edges: Words
    bans: Words
    infos: UInt8Array
    texts: bytes


def bits(words: Words, shift: int, width: int) -> Int64Array:
    """The bit field of so many bits from `shift` on, of every word."""
    return np.asarray((words >> np.uint64(shift)) & np.uint64((1 << width) - 1)).astype(np.int64)


def edge_count_of(header: bytes) -> tuple[int, int]:
    """A tile's key, and how many edges it has, from the first 48 bytes of it."""
    words = np.frombuffer(header, dtype="<u8")
    return int(bits(words[:1], 0, TILE_BITS)[0]), int(bits(words[5:6], 21, 21)[0])


def read_tile(path: Path) -> Tile:
    """One tile's records. Raises BadFile when it is cut off."""
    raw = np.fromfile(path, dtype=np.uint8)
    try:
        counts = raw[40:48].view("<u8")
        node_count, edge_count = int(bits(counts, 0, 21)[0]), int(bits(counts, 21, 21)[0])
        transition_count = int(bits(raw[48:56].view("<u8"), 0, 22)[0])
        nodes_end = _HEADER_BYTES + 8 * _NODE_WORDS * node_count
        transitions_end = nodes_end + 8 * transition_count
        edges_end = transitions_end + 8 * _EDGE_WORDS * edge_count
        bans_at, bans_end, infos_at, texts_at = (
            int(raw[at : at + 4].view("<u4")[0]) for at in (_BANS_AT, _BANS_END_AT, _INFOS_AT, _TEXTS_AT)
        )
        return Tile(
            key=int(bits(raw[:8].view("<u8"), 0, TILE_BITS)[0]),
            nodes=raw[_HEADER_BYTES:nodes_end].view("<u8").reshape(node_count, _NODE_WORDS),
            transitions=raw[nodes_end:transitions_end].view("<u8"),
            edges=raw[transitions_end:edges_end].view("<u8").reshape(edge_count, _EDGE_WORDS),
            bans=raw[bans_at:bans_end].copy().view("<u8"),
            infos=raw[infos_at:texts_at],
            texts=raw[texts_at:].tobytes(),
        )
    except (ValueError, IndexError) as error:
        raise BadFile(f"{path}: not a whole Valhalla tile: {error}") from error


def places(tiles: list[Tile], ids: Int64Array, *, of_nodes: bool) -> Int64Array:
    """Row numbers, over all tiles in order, of the nodes or edges with these GraphIds; -1 where the tile is missing."""
    keys = np.array([tile.key for tile in tiles])
    sizes = np.array([len(tile.nodes) if of_nodes else len(tile.edges) for tile in tiles])
    starts = np.cumsum(sizes) - sizes
    order = np.argsort(keys)
    wanted = ids & ((1 << TILE_BITS) - 1)
    at = order[np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)]
    row = starts[at] + (ids >> TILE_BITS)
    return np.where((keys[at] == wanted) & (ids != _NO_ID), row, -1)


def banned_ways(tiles: list[Tile]) -> list[list[int]]:
    """Ways that cars may never drive to their end: rows of edges, one after the other, at least two.

    Restrictions of other vehicles, those that hold at some hours only and those that are only likely are left out, as
    Valhalla leaves them out of a route without a date.
    """
    found = []
    for tile in tiles:
        at = 0
        while at + _BAN_WORDS <= len(tile.bans):
            first, last, rest = (int(word) for word in tile.bans[at : at + _BAN_WORDS])
            kind, modes, between = rest & 15, rest >> 4 & 0xFFF, rest >> 16 & 31
            at += _BAN_WORDS
            inner = [int(word) for word in tile.bans[at : at + between]][::-1]  # they are stored last first
            at += between
            timed = first >> ID_BITS & 1
            if modes & AUTO_ACCESS and not timed and kind not in _PROBABLE:
                ids = np.array([first, *inner, last], dtype=np.uint64)
                found.append(places(tiles, bits(ids, 0, ID_BITS), of_nodes=False).tolist())
    return found
