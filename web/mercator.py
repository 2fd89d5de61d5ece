"""The city's Web-Mercator box, on whose 65,536 x 65,536 raster roads and cars are drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from core.geo import FloatArray

STEPS = 65_535
_RADIUS_M = 6_378_137.0  # of the sphere of EPSG:3857


@dataclass(frozen=True, slots=True)
class MercatorBox:
    """A box in Web-Mercator metres (EPSG:3857); x grows to the east, y to the north."""

    west_m: float
    south_m: float
    east_m: float
    north_m: float

    @staticmethod
    def of(bounds: tuple[float, float, float, float], margin: float = 0.02) -> MercatorBox:
        """The box of south, west, north, east in degrees, widened by a share on each side."""
        south, west, north, east = bounds
        x = _x_m(np.array([west, east]))
        y = _y_m(np.array([south, north]))
        more = margin * max(float(x[1] - x[0]), float(y[1] - y[0]))
        return MercatorBox(float(x[0]) - more, float(y[0]) - more, float(x[1]) + more, float(y[1]) + more)

    def quantised(self, lat: FloatArray, lng: FloatArray) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]:
        """Points of shape (n,) as steps from the west and from the south edge; outside ones move to the edge."""
        return (
            _steps(_x_m(lng), self.west_m, self.east_m),
            _steps(_y_m(lat), self.south_m, self.north_m),
        )

    def as_list(self) -> list[float]:
        """West, south, east, north in metres, to the centimetre."""
        return [round(edge, 2) for edge in (self.west_m, self.south_m, self.east_m, self.north_m)]


def _steps(at: FloatArray, low: float, high: float) -> npt.NDArray[np.uint16]:
    return np.rint(np.clip((at - low) / (high - low), 0.0, 1.0) * STEPS).astype(np.uint16)


def _x_m(lng: FloatArray) -> FloatArray:
    return np.asarray(np.radians(lng) * _RADIUS_M, dtype=np.float64)


def _y_m(lat: FloatArray) -> FloatArray:
    limited = np.clip(lat, -85.0, 85.0)
    return np.asarray(np.log(np.tan(math.pi / 4 + np.radians(limited) / 2)) * _RADIUS_M, dtype=np.float64)
