"""Roads from CSV tables, as the scenarios of other simulators have them: nodes in metres, edges with lengths and times.

nodes.csv: node_index, pos_x, pos_y, and optionally is_stop_only (cars turn round there and do not pass).
edges.csv: from_node, to_node, distance (m), travel_time (s), and optionally arterial (0 or 1). Others are ignored.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pyproj import Transformer
from pyproj.exceptions import ProjError

from core.errors import BadFile, InvalidInput
from core.geo import BoolArray, FloatArray
from maps.roads import NO_EDGE, ROAD_CLASSES, Int64Array, RoadGraph
from maps.snap import METRES_PER_DEGREE
from maps.tiles import Drivable
from maps.turns import Turns, connected_edges, meeting, renumbered

_ARTERIAL, _OTHER = ROAD_CLASSES.index("primary"), ROAD_CLASSES.index("residential")
_MAX_PLANE_M = 5_000_000.0  # from the middle: farther than that a plane is no map


@dataclass(frozen=True, slots=True)
class CsvTables:
    """The two files, and the coordinate system of the positions, such as EPSG:32632.

    Without one the positions are metres on a plane, which is laid around latitude 0, longitude 0.
    """

    nodes: Path
    edges: Path
    crs: str | None = None


@dataclass(frozen=True, slots=True)
class _Nodes:
    place: dict[int, int]  # row by the number in the file
    lat: FloatArray
    lng: FloatArray
    stop_only: BoolArray


def read_tables(tables: CsvTables, max_rows: int) -> Drivable:
    """The strongly connected part of the network. As in those simulators every turn is free, turning round included.

    Raises BadFile naming the file, row (the first below the header is 1) and column of what cannot be used, and
    InvalidInput for a coordinate system that nobody knows.
    """
    nodes = _read_nodes(tables, max_rows)
    tail, head, metres, seconds, arterial = _read_edges(tables.edges, nodes.place, max_rows)
    opposite = _opposites(tail, head)
    before, after = meeting(tail, head)
    passes = ~nodes.stop_only[head[before]] | (opposite[before] == after)
    before, after = before[passes].astype(np.int32), after[passes].astype(np.int32)
    turns = Turns(np.arange(len(tail), dtype=np.int32), before, after, np.zeros(len(before), dtype=np.int32))
    inside = connected_edges(turns) if len(turns.before) else np.zeros(len(tail), dtype=np.bool_)
    if inside.sum() < 2:
        raise BadFile(f"{tables.edges}: no road leads back to where it started")
    kept = np.flatnonzero(inside)
    kept = kept[np.lexsort((kept, tail[kept]))]
    share = len(np.unique(tail[kept])) / len(np.unique(np.concatenate([tail, head])))
    new_edge = np.full(len(tail) + 1, NO_EDGE)
    new_edge[kept] = np.arange(len(kept))
    numbers, new_tail = np.unique(tail[kept], return_inverse=True)
    ends = np.column_stack([tail[kept], head[kept]]).ravel()
    roads = RoadGraph(
        node_lat=nodes.lat[numbers],
        node_lng=nodes.lng[numbers],
        tail=new_tail.astype(np.int32),
        head=np.searchsorted(numbers, head[kept]).astype(np.int32),
        seconds=seconds[kept],
        metres=metres[kept],
        road_class=np.where(arterial[kept], _ARTERIAL, _OTHER).astype(np.uint8),
        opposite=new_edge[opposite[kept]].astype(np.int32),
        graph_id=kept.astype(np.int64),
        name=np.zeros(len(kept), dtype=np.int32),
        point_at=2 * np.arange(len(kept) + 1, dtype=np.int64),
        point_lat=nodes.lat[ends],
        point_lng=nodes.lng[ends],
        names=("",),
    )
    number_of = np.array(list(nodes.place), dtype=np.int64)  # a dictionary keeps the order of the rows
    return Drivable(roads, renumbered(turns, kept), share, number_of[numbers])


def _opposites(tail: Int64Array, head: Int64Array) -> Int64Array:
    """The edge of the other direction, NO_EDGE where there is none; of parallel edges the n-th has the n-th."""
    waiting: dict[tuple[int, int], list[int]] = {}
    opposite = np.full(len(tail), NO_EDGE)
    for edge, (start, end) in enumerate(zip(tail.tolist(), head.tolist(), strict=True)):
        if back := waiting.get((end, start)):
            other = back.pop(0)
            opposite[edge], opposite[other] = other, edge
        else:
            waiting.setdefault((start, end), []).append(edge)
    return opposite


def _read_nodes(tables: CsvTables, max_rows: int) -> _Nodes:
    path, place = tables.nodes, dict[int, int]()
    x, y, stop_only = [], [], []
    for row, cells in _rows(path, ("node_index", "pos_x", "pos_y"), ("is_stop_only",), max_rows):
        number = cells.whole("node_index")
        if number in place:
            raise BadFile(f"{path}: row {row}, column 'node_index': {number} is there more than once")
        place[number] = len(place)
        x.append(cells.number("pos_x", -math.inf))
        y.append(cells.number("pos_y", -math.inf))
        stop_only.append(cells.switch("is_stop_only"))
    lat, lng = _degrees(np.array(x), np.array(y), tables.crs)
    bad = np.flatnonzero(~(np.isfinite(lat) & np.isfinite(lng) & (np.abs(lat) <= 90) & (np.abs(lng) <= 180)))
    if len(bad):
        where = "" if tables.crs is None else f" in {tables.crs}"
        raise BadFile(f"{path}: row {bad[0] + 1}, column 'pos_x': {x[bad[0]]:g}, {y[bad[0]]:g} is no place{where}")
    return _Nodes(place, lat, lng, np.array(stop_only, dtype=np.bool_))


def _degrees(x: FloatArray, y: FloatArray, crs: str | None) -> tuple[FloatArray, FloatArray]:
    if crs is None:
        east, north = x - (x.min() + x.max()) / 2, y - (y.min() + y.max()) / 2
        far = (np.abs(east) > _MAX_PLANE_M) | (np.abs(north) > _MAX_PLANE_M)
        return np.where(far, np.nan, north / METRES_PER_DEGREE), east / METRES_PER_DEGREE
    try:
        lng, lat = Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(x, y)
    except ProjError as error:
        raise InvalidInput(f"{crs!r} is not a coordinate system: {str(error)[:200]}", code="bad_crs") from error
    return np.asarray(lat), np.asarray(lng)


_EdgeColumns = tuple[Int64Array, Int64Array, FloatArray, FloatArray, BoolArray]


def _read_edges(path: Path, place: dict[int, int], max_rows: int) -> _EdgeColumns:
    tail, head, metres, seconds, arterial = [], [], [], [], []
    for row, cells in _rows(path, ("from_node", "to_node", "distance", "travel_time"), ("arterial",), max_rows):
        ends = []
        for column in ("from_node", "to_node"):
            number = cells.whole(column)
            if number not in place:
                raise BadFile(f"{path}: row {row}, column {column!r}: there is no node {number}")
            ends.append(place[number])
        if ends[0] == ends[1]:
            raise BadFile(f"{path}: row {row}, column 'to_node': the road ends where it begins")
        tail.append(ends[0])
        head.append(ends[1])
        metres.append(cells.number("distance", 0.0))
        seconds.append(cells.number("travel_time", 0.0))
        if seconds[-1] == 0.0:
            raise BadFile(f"{path}: row {row}, column 'travel_time': must be more than 0")
        arterial.append(cells.switch("arterial"))
    return np.array(tail), np.array(head), np.array(metres), np.array(seconds), np.array(arterial, dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class _Cells:
    """One row; each of its calls raises BadFile naming the place."""

    path: Path
    row: int
    texts: Sequence[str]
    at: dict[str, int]

    def whole(self, column: str) -> int:
        try:
            return int(self.texts[self.at[column]])
        except ValueError:
            raise self._bad(column, "must be a whole number") from None

    def number(self, column: str, least: float) -> float:
        try:
            value = float(self.texts[self.at[column]])
        except ValueError:
            raise self._bad(column, "must be a number") from None
        if not (math.isfinite(value) and value >= least):
            raise self._bad(column, f"must be a number{'' if least == -math.inf else f' from {least:g}'}")
        return value

    def switch(self, column: str) -> bool:
        if column not in self.at:
            return False
        text = self.texts[self.at[column]].strip().lower()
        if text not in ("0", "1", "false", "true", ""):
            raise self._bad(column, "must be 0, 1, true or false")
        return text in ("1", "true")

    def _bad(self, column: str, reason: str) -> BadFile:
        return BadFile(f"{self.path}: row {self.row}, column {column!r}: {reason}, not {self.texts[self.at[column]]!r}")


def _rows(path: Path, needed: Sequence[str], optional: Sequence[str], max_rows: int) -> Iterator[tuple[int, _Cells]]:
    """The rows of a file with a header, numbered from 1; empty lines are passed over."""
    row = 0
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip() for name in next(reader, [])]
            at = _columns(path, header, needed, optional)
            for texts in reader:
                if not texts:
                    continue
                row += 1
                if row > max_rows:
                    raise BadFile(f"{path}: has more than {max_rows} rows")
                if len(texts) != len(header):
                    raise BadFile(f"{path}: row {row} has {len(texts)} fields, the header {len(header)}")
                yield row, _Cells(path, row, texts, at)
    except OSError as error:
        raise BadFile(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadFile(f"{path}: is not UTF-8 text") from error
    except csv.Error as error:
        raise BadFile(f"{path}: row {row + 1}: {error}") from error
    if not row:
        raise BadFile(f"{path}: has no rows")


def _columns(path: Path, header: list[str], needed: Sequence[str], optional: Sequence[str]) -> dict[str, int]:
    for name in needed:
        if name not in header:
            raise BadFile(f"{path}: column {name!r} is missing; there are: {', '.join(header) or 'none'}")
    for name in (*needed, *optional):
        if header.count(name) > 1:
            raise BadFile(f"{path}: column {name!r} is there more than once")
    return {name: header.index(name) for name in (*needed, *optional) if name in header}
