"""Read named columns of a parquet or CSV file. What is wrong with the file is an error, with a cell is a note."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from core.errors import BadFile
from core.geo import BoolArray, FloatArray

Kind = Literal["time", "number", "text"]

_TYPE_CHECKS: dict[Kind, Callable[[Any], bool]] = {
    "time": pa.types.is_timestamp,
    "number": lambda kind: pa.types.is_floating(kind) or pa.types.is_integer(kind),
    "text": lambda kind: True,
}
_KIND_NAMES: dict[Kind, str] = {"time": "a time (ISO 8601)", "number": "a number", "text": "a text"}


@dataclass(frozen=True, slots=True)
class Column:
    """One column, shape (n,): times are epoch seconds, texts are in `texts` alone. Unusable cells are NaN."""

    values: FloatArray
    missing: BoolArray
    unreadable: BoolArray
    texts: list[str]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A column that a file must or may have."""

    name: str
    kind: Kind
    required: bool = True


def read_table(path: Path, wanted: Sequence[Wanted], max_rows: int) -> tuple[dict[str, Column], int]:
    """The wanted columns that the file has, by name, and its number of rows.

    A file whose name ends in .csv is CSV, any other is parquet. Raises BadFile naming the file and what is wrong with
    it: unreadable, damaged, a column missing or of a wrong type, a row with too few or too many fields, too many rows.
    """
    try:
        read = _read_csv if path.suffix.lower() == ".csv" else _read_parquet
        columns, n = read(path, wanted, max_rows)
    except (OSError, pa.ArrowException) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise BadFile(f"{path}: cannot be read: {reason}") from error
    if n == 0:
        raise BadFile(f"{path}: has no rows")
    return columns, n


def column_names(path: Path) -> list[str]:
    """The columns of a file, in its order; none where it cannot be read: `read_table` says why."""
    try:
        if path.suffix.lower() != ".csv":
            with pq.ParquetFile(path) as file:
                return list(file.schema_arrow.names)
        with path.open(newline="", encoding="utf-8-sig") as file:
            return [name.strip() for name in next(csv.reader(file), [])]
    except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowException):
        return []


def _read_parquet(path: Path, wanted: Sequence[Wanted], max_rows: int) -> tuple[dict[str, Column], int]:
    with pq.ParquetFile(path) as file:
        _check_size(path, file.metadata.num_rows, max_rows)
        schema = file.schema_arrow
        present = _present(path, wanted, schema.names)
        for each in present:
            kind = schema.field(each.name).type
            if not _TYPE_CHECKS[each.kind](kind):
                raise BadFile(f"{path}: column {each.name!r} must be {_KIND_NAMES[each.kind]}, but is {kind}")
        table = file.read(columns=[each.name for each in present])
    return {each.name: _from_arrow(table.column(each.name), each.kind) for each in present}, table.num_rows


def _from_arrow(cells: Any, kind: Kind) -> Column:
    missing = np.asarray(cells.is_null().to_numpy(), dtype=np.bool_)
    nothing = np.zeros(len(missing), dtype=np.bool_)
    if kind == "text":
        texts = ["" if text is None else str(text) for text in cells.to_pylist()]
        return Column(np.full(len(texts), math.nan), missing, nothing, texts)
    if kind == "time":  # naive timestamps are taken as UTC, which is what the integer holds for aware ones
        cells = cells.cast(pa.timestamp("us", tz=cells.type.tz), safe=False).cast(pa.int64())
    values = np.asarray(cells.cast(pa.float64(), safe=False).fill_null(math.nan).to_numpy(), dtype=np.float64)
    return Column(values / 1e6 if kind == "time" else values, missing, nothing, [])


def _read_csv(path: Path, wanted: Sequence[Wanted], max_rows: int) -> tuple[dict[str, Column], int]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip() for name in next(reader, [])]
            present = _present(path, wanted, header)
            rows: list[list[str]] = []
            for cells in reader:
                if not cells:
                    continue
                if len(cells) != len(header):
                    raise BadFile(f"{path}: row {len(rows) + 1} has {len(cells)} fields, the header {len(header)}")
                rows.append(cells)
                _check_size(path, len(rows), max_rows)
    except UnicodeDecodeError as error:
        raise BadFile(f"{path}: is not UTF-8 text") from error
    except csv.Error as error:
        raise BadFile(f"{path}: row {len(rows) + 1}: {error}") from error
    columns = {}
    for each in present:
        at = header.index(each.name)
        columns[each.name] = _from_text(path, each, [cells[at].strip() for cells in rows])
    return columns, len(rows)


def _from_text(path: Path, wanted: Wanted, texts: list[str]) -> Column:
    missing = np.array([not text for text in texts], dtype=np.bool_)
    values = np.full(len(texts), math.nan)
    unreadable = np.zeros(len(texts), dtype=np.bool_)
    if wanted.kind == "text":
        return Column(values, missing, unreadable, texts)
    parse = float if wanted.kind == "number" else _epoch_s
    for n, text in enumerate(texts):
        if text:
            try:
                values[n] = parse(text)
            except (ValueError, OverflowError):
                unreadable[n] = True
    bad = np.flatnonzero(unreadable)
    if len(bad) and len(bad) == len(texts) - int(missing.sum()):  # not some cells: the column is something else
        first = int(bad[0])
        raise BadFile(
            f"{path}: column {wanted.name!r} must be {_KIND_NAMES[wanted.kind]}, row {first + 1} has {texts[first]!r}"
        )
    return Column(values, missing, unreadable, [])


def _epoch_s(text: str) -> float:
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _present(path: Path, wanted: Sequence[Wanted], names: Sequence[str]) -> list[Wanted]:
    absent = [each.name for each in wanted if each.required and each.name not in names]
    if absent:
        raise BadFile(f"{path}: column {absent[0]!r} is missing; there are: {', '.join(names) or 'none'}")
    for each in wanted:
        if list(names).count(each.name) > 1:
            raise BadFile(f"{path}: column {each.name!r} is there more than once")
    return [each for each in wanted if each.name in names]


def _check_size(path: Path, n: int, max_rows: int) -> None:
    if n > max_rows:
        raise BadFile(f"{path}: has more than {max_rows} rows")
