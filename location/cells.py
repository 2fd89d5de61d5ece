"""The finest cells as a lattice: which one a point is in, without H3, and what is known of it.

On one face of H3's icosahedron the cells of a resolution are a lattice of hexagons in the gnomonic plane. Two gnomonic
planes differ by a projective map, so one matrix leads from a point's unit vector to its place in the lattice. The
matrix is fitted to H3's own centres, and no cell is believed before H3's centre of it lies at its lattice point; so on
another face, or near a pentagon, cells are simply not known, and H3 is asked.
"""

from __future__ import annotations

import math

import h3.api.basic_int as h3
import numpy as np
from h3 import H3BaseException

from core.geo import FloatArray
from location.intake import ALL_IN, IN_QUEUE, NONE_IN, find, lattice_key
from location.ports import CellRules
from maps.segments import finest_of

_REACH = 150  # cells to each side that the matrix is fitted to
_STEPS = 10
_CLOSE = 1e-7  # of a cell
_PLACES = 1 << 19
_KNOWN = _PLACES // 2  # cells; with more the table begins anew


class Cells:
    """What is known of the finest cells that pings came from, as tables for `intake.judge`."""

    def __init__(self, rules: CellRules | None) -> None:
        self._rules = rules
        self._version: object = None
        self._known = 0
        self.plane: FloatArray = np.zeros((3, 3))
        size = 1 if rules is None else _PLACES
        self.keys = np.zeros(size, dtype=np.int64)
        self.segments = np.zeros(size, dtype=np.int64)
        self.states = np.zeros(size, dtype=np.uint8)

    def check(self) -> None:
        """Forget everything when segments or zones have changed; call before each batch."""
        if self._rules is not None and self._rules.version != self._version:
            self._version = self._rules.version
            self._known = 0
            self.keys[:] = 0

    def learn(self, lat: float, lng: float) -> None:
        """Know the finest cell at a point from now on, where it is one of the lattice."""
        if self._rules is None:
            return
        if not self.plane.any():
            self.plane = _fitted(lat, lng)
        cell = finest_of(lat, lng)
        key = self._key(cell)
        if key <= 0:
            return
        place = find(self.keys, key)
        if self.keys[place] == key:
            return
        if self._known >= _KNOWN:
            self._known = 0
            self.keys[:] = 0
            place = find(self.keys, key)
        segment, inside, queue = self._rules.of_cell(cell)
        state = (0 if inside is None else ALL_IN if inside else NONE_IN) | (IN_QUEUE if queue else 0)
        self.keys[place], self.segments[place], self.states[place] = key, segment, state
        self._known += 1

    def _key(self, cell: int) -> int:
        """The key of a cell whose centre lies at a place of the lattice; -1 for any other."""
        lat, lng = h3.cell_to_latlng(cell)
        a, b = math.radians(lat), math.radians(lng)
        x, y, z = math.cos(a) * math.cos(b), math.cos(a) * math.sin(b), math.sin(a)
        across, along, depth = (p * x + q * y + r * z for p, q, r in self.plane.tolist())
        if not depth > 0.0 or any(abs(each / depth - round(each / depth)) > _CLOSE for each in (across, along)):
            return -1
        return int(lattice_key(lat, lng, self.plane))


def _vectors(places: FloatArray) -> FloatArray:
    """Unit vectors (n, 3) of latitudes and longitudes (n, 2) in degrees."""
    lat, lng = np.radians(places).T
    return np.stack([np.cos(lat) * np.cos(lng), np.cos(lat) * np.sin(lng), np.sin(lat)], axis=-1)


def _fitted(lat: float, lng: float) -> FloatArray:
    """The matrix (3, 3) of the lattice around a point; all NaN where H3 has none there."""
    origin = finest_of(lat, lng)
    steps = range(-_REACH, _REACH + 1, 2 * _REACH // _STEPS)
    try:
        at = h3.cell_to_local_ij(origin, origin)
        found = [((i, j), h3.local_ij_to_cell(origin, at[0] + i, at[1] + j)) for i in steps for j in steps]
    except H3BaseException:  # a pentagon is near
        return np.full((3, 3), np.nan)
    ij = np.array([each for each, _ in found], dtype=np.float64) / _REACH
    vectors = _vectors(np.array([h3.cell_to_latlng(cell) for _, cell in found]))
    middle = vectors[len(vectors) // 2]
    east = np.cross([0.0, 0.0, 1.0], middle)
    east /= np.linalg.norm(east)
    frame = np.stack([east, np.cross(middle, east), middle])
    local = vectors @ frame.T
    scale = np.abs(local[:, :2] / local[:, 2:]).max()
    frame[:2] /= scale
    local = vectors @ frame.T
    local /= local[:, 2:]
    equations = np.zeros((2 * len(ij), 9))
    equations[0::2, 0:3] = equations[1::2, 3:6] = local
    equations[0::2, 6:9] = -ij[:, :1] * local
    equations[1::2, 6:9] = -ij[:, 1:] * local
    matrix = np.linalg.svd(equations)[2][-1].reshape(3, 3) @ frame
    if (matrix @ middle)[2] < 0:
        matrix = -matrix
    matrix[:2] *= _REACH
    return np.ascontiguousarray(matrix)
