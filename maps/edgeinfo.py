"""What Valhalla's tiles keep apart from the edges, once for both directions: geometry and names (baldr: edgeinfo.h)."""

from __future__ import annotations

import numpy as np

from core.errors import BadFile
from core.geo import BoolArray, FloatArray
from maps.kernels import compiled
from maps.roads import Int32Array, Int64Array, UInt8Array

_MAX_NAMES = 15
_FIXED_BYTES = 12  # then the names' words, then the shape


def read_shapes(infos: UInt8Array, info: Int64Array, forward: BoolArray) -> tuple[Int64Array, FloatArray, FloatArray]:
    """The geometry of edges: where each one's points start, shape (edges + 1,), and all points in driving direction."""
    counts_word = _word_at(infos, info + 8)
    starts = info + _FIXED_BYTES + 4 * (counts_word & 15)
    ends = starts + (counts_word >> 4 & 0xFFFF)
    if len(ends) and ends.max() > len(infos):
        raise BadFile("a tile's geometry is cut off")
    # every coordinate ends with a byte that has no continuation bit
    finished = np.concatenate([[0], np.cumsum(infos < 0x80)])
    points = (finished[ends] - finished[starts]) // 2
    if len(points) and points.min() < 2:
        raise BadFile("a tile holds a road without geometry")
    point_at = np.concatenate([[0], np.cumsum(points)])
    lat, lng = np.empty(point_at[-1]), np.empty(point_at[-1])
    _decode(infos, starts, forward, point_at, (lat, lng))
    return point_at, lat, lng


def _word_at(raw: UInt8Array, at: Int64Array) -> Int64Array:
    """Little-endian 32-bit words at any offsets."""
    return np.asarray(sum(raw[at + byte].astype(np.int64) << 8 * byte for byte in range(4)))


@compiled
def _decode(infos, starts, forward, point_at, out):  # type: ignore[no-untyped-def]
    """Undo Valhalla's shape encoding: 1e-6 degrees, lat then lng, differences, zigzag, seven bits a byte."""
    for edge in range(len(starts)):
        at, lat, lng = starts[edge], np.int64(0), np.int64(0)
        count = point_at[edge + 1] - point_at[edge]
        for point in range(count):
            for axis in range(2):
                value, shift = np.int64(0), 0
                while True:
                    byte = np.int64(infos[at])
                    at += 1
                    value |= (byte & 0x7F) << shift
                    shift += 7
                    if byte < 0x80:
                        break
                step = (value >> 1) ^ -(value & 1)
                if axis == 0:
                    lat += step
                else:
                    lng += step
            row = point_at[edge] + (point if forward[edge] else count - 1 - point)
            out[0][row], out[1][row] = lat * 1e-6, lng * 1e-6


def read_names(
    infos: UInt8Array, info: Int64Array, tile: Int64Array, texts: list[bytes]
) -> tuple[Int32Array, list[str]]:
    """Each edge's street name, else its route number, as an index into the sorted table of names; 0 is no name.

    `tile` is each edge's row in `texts`, the text blocks of the tiles; arrays of shape (edges,).
    """
    name_count = _word_at(infos, info + 8) & 15
    chosen = np.full(len(info), -1)
    for wants_number in (False, True):
        for at in range(_MAX_NAMES):
            has = (name_count > at) & (chosen < 0)
            word = _word_at(infos, np.where(has, info + _FIXED_BYTES + 4 * at, 0))
            fits = has & (word >> 29 & 1 == 0) & ((word >> 28 & 1 == 1) == wants_number)
            chosen[fits] = word[fits] & 0xFFFFFF
    pairs, where = np.unique(np.column_stack([tile, chosen]), axis=0, return_inverse=True)
    found = ["" if at < 0 else _text(texts[row], at) for row, at in pairs.tolist()]
    names = sorted({"", *found})
    number = {name: index for index, name in enumerate(names)}
    return np.array([number[name] for name in found], dtype=np.int32)[where.ravel()], names


def _text(texts: bytes, at: int) -> str:
    return texts[at : texts.index(b"\0", at)].decode("utf-8", "replace")
