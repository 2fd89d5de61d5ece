"""The operators' binary frame: six bytes for every driver in the city, and rows that stay with their driver.

A row is little-endian: uint16 x, uint16 y, uint8 heading, uint8 status. x and y are steps in the city's Web-Mercator
box (the `hello` message says which), heading is in 256ths of a turn clockwise from north. The same row is the same
driver from frame to frame until its status is 0 once, so that a reader may draw the way between two frames.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from web.mercator import STEPS, MercatorBox
from web.ports import FleetSnapshot

ROW = np.dtype([("x", "<u2"), ("y", "<u2"), ("heading", "u1"), ("status", "u1")])
STATUSES: Final = ("none", "idle", "to_pickup", "riding")

FIELDS: Final = [
    {"name": "x", "type": "uint16", "offset": 0},
    {"name": "y", "type": "uint16", "offset": 2},
    {"name": "heading", "type": "uint8", "offset": 4},
    {"name": "status", "type": "uint8", "offset": 5},
]
LAYOUT: Final[dict[str, Any]] = {
    "description": (
        "Binary WebSocket message of /v1/ops/ws: one row for each driver, little-endian. x grows from the west, y from "
        "the south edge of the box that `hello` names; heading 0 is north, 64 east. A row belongs to the same driver "
        "until its status was `none` once."
    ),
    "row_bytes": ROW.itemsize,
    "byte_order": "little",
    "fields": FIELDS,
    "steps": STEPS,
    "heading_steps": 256,
    "statuses": list(STATUSES),
}


class Rows:
    """Which driver has which row. A row that was left stays empty for one frame before another driver gets it."""

    def __init__(self) -> None:
        self._row: dict[str, int] = {}
        self._free: list[int] = []
        self._count = 0

    def place(self, driver_ids: Sequence[str]) -> tuple[list[int], int]:
        """The rows of these drivers, who are all there are now, and the number of rows of the frame."""
        present = set(driver_ids)
        left = [driver_id for driver_id in self._row if driver_id not in present]
        freed = [self._row.pop(driver_id) for driver_id in left]
        rows = [self._row_of(driver_id) for driver_id in driver_ids]
        for row in freed:
            heapq.heappush(self._free, row)
        return rows, self._count

    def _row_of(self, driver_id: str) -> int:
        row = self._row.get(driver_id)
        if row is None:
            if self._free:
                row = heapq.heappop(self._free)
            else:
                row, self._count = self._count, self._count + 1
            self._row[driver_id] = row
        return row


def frame(fleet: FleetSnapshot, rows: Rows, box: MercatorBox) -> bytes:
    """The binary frame of a fleet."""
    at, count = rows.place(fleet.driver_ids)
    table = np.zeros(count, dtype=ROW)
    x, y = box.quantised(fleet.lat, fleet.lng)
    table["x"][at] = x
    table["y"][at] = y
    table["heading"][at] = np.rint(np.nan_to_num(fleet.heading) % 360.0 / 360.0 * 256).astype(np.int64) % 256
    table["status"][at] = fleet.status
    return table.tobytes()
