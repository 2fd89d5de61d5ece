"""PostgreSQL for a benchmark, and pgbench running on it the transaction with which the engine makes a booking."""

from __future__ import annotations

import math
import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import psutil
import sqlalchemy as sa

from app.schema import upgrade_one
from benchmarks.harness import CannotRun
from core.errors import Unavailable
from dispatch.adapters.tables import ride_requests
from runtime.idempotency import answers
from runtime.services.manager import Services
from runtime.services.postgresql import sql
from runtime.sql import Database, outbox

TABLES = (answers, ride_requests, outbox)
_DROP_TRIES = 40
_TEMPLATE = "hexcab"  # the server's own database, with the schema and no rows
_ID_LENGTH = 26
# columns that are unique, or hold what is: made by pgbench anew for each transaction, as long as the engine's
_FRESH = {
    "scope_key": "rpad(CAST(:ask AS text), 64, 'k')",
    "request_id": f"'req_' || rpad(CAST(:ask AS text), {_ID_LENGTH}, 'q')",
    "key": f"'req_' || rpad(CAST(:ask AS text), {_ID_LENGTH}, 'q')",
    "event_id": f"CAST(:announced AS text) || rpad(CAST(:ask AS text), {_ID_LENGTH}, 'q')",
    "rider_id": f"'rdr_' || rpad(CAST(:rider AS text), {_ID_LENGTH}, 'r')",
    "open_rider": f"'rdr_' || rpad(CAST(:rider AS text), {_ID_LENGTH}, 'r')",
}
_BY_SERVER = ("seq", "state", "gave_up")  # of the outbox
_LONG = ("body", "counts")  # sent with each transaction, not a part of the prepared statement


class Turn(NamedTuple):
    """What pgbench did: `done` and its own CPU seconds in all its time, the rest in the timed part."""

    done: int
    per_s: float
    p50_ms: float
    cpu_s: float


class Postgres:
    """A server of the project's own kind in a folder: loopback, fsync on, everything else as PostgreSQL comes."""

    def __init__(self, folder: Path) -> None:
        self._services = Services(folder)

    def start(self) -> None:
        """Raises CannotRun where PostgreSQL or pgbench is not installed."""
        _program()
        try:
            self._services.up(["postgresql"])
        except Unavailable as missing:
            raise CannotRun(str(missing.detail)) from missing
        self._site = self._services.sites("postgresql")[0]
        self._databases = 0

    def stop(self) -> None:
        """Stop it, its files stay."""
        self._services.down(["postgresql"])

    @property
    def url(self) -> str:
        """Of the template."""
        return self._services.url("postgresql")

    async def prepare(self) -> str:
        """Bring the template up to date; returns what the server says of durability."""
        database = Database(self.url)
        await upgrade_one(database)
        async with database.reading() as connection:
            names = ("server_version", "fsync", "synchronous_commit", "full_page_writes")
            shown = [(await connection.exec_driver_sql(f"SHOW {name}")).scalar_one() for name in names]
        await database.close()
        if shown[1:] != ["on", "on", "on"]:
            raise CannotRun(f"this PostgreSQL is not durable: {dict(zip(names, shown, strict=True))}")
        return str(shown[0]).split()[0]

    def fresh(self) -> str:
        """The URL of a new database with all tables and no rows."""
        self._databases += 1
        name = f"round_{self._databases}"
        sql(self._site, f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
        return self.url.rpartition("/")[0] + f"/{name}"

    def drop(self, url: str) -> None:
        """Throw a database away."""
        for left in reversed(range(_DROP_TRIES)):
            try:
                sql(self._site, f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")
            except Unavailable:  # its own cleaner is at work there, which ends by itself
                if not left:
                    raise
                time.sleep(0.5)
            else:
                return

    def cpu_s(self) -> float:
        """CPU seconds of the server so far: PostgreSQL has a process for each connection, also those that have gone."""
        total, root = 0.0, psutil.Process(self._site.node.pid)
        for process in (root, *root.children(recursive=True)):
            with suppress(psutil.Error):
                times = process.cpu_times()
                total += times.user + times.system
                if process.pid == root.pid:
                    total += times.children_user + times.children_system
        return total


async def booked_rows(url: str) -> dict[str, dict[str, Any]]:
    """One row of each table that a booking writes, by the table's name, as the engine wrote it."""
    database = Database(url)
    found = {}
    try:
        async with database.reading() as connection:
            for table in TABLES:
                row = (await connection.execute(sa.select(table).limit(1))).mappings().one()
                found[table.name] = dict(row)
    finally:
        await database.close()
    return found


class Pgbench:
    """Runs the booking's transaction, made of rows that the engine has written: same statements, same bytes.

    With `one_statement` the three inserts are one statement, and so one trip instead of five.
    """

    def __init__(self, rows: Mapping[str, Mapping[str, Any]], folder: Path, *, one_statement: bool = False) -> None:
        self._folder = folder / ("one_statement" if one_statement else "transaction")
        self._folder.mkdir()
        inserts, self._values = _inserts(rows)
        body = _joined(inserts) if one_statement else "\n".join(["BEGIN;", *(f"{each};" for each in inserts), "END;"])
        ids = "\\set ask random(1, 9000000000000000)\n\\set rider random(1, 9000000000000000)\n"
        (self._folder / "booking.sql").write_text(f"{ids}{body}\n", "utf-8")

    def run(self, url: str, clients: int, seconds: float, warm_s: float = 0.0) -> Turn:
        """One turn of about so many seconds after those to warm up. Raises CannotRun when a transaction fails."""
        at = sa.make_url(url)
        log = self._folder / "log"
        words = [_program(), "--no-vacuum", "--protocol=prepared", f"--client={clients}", f"--jobs={min(2, clients)}"]
        words += [f"--time={math.ceil(warm_s + seconds)}", f"--file={self._folder / 'booking.sql'}", "--log"]
        words += [f"--log-prefix={log}", *(f"--define={name}={value}" for name, value in self._values.items())]
        words += ["-h", str(at.host), "-p", str(at.port), "-U", str(at.username), str(at.database)]
        before = os.times()
        ended = subprocess.run(
            words, capture_output=True, text=True, check=False, env={**os.environ, "PGPASSWORD": str(at.password)}
        )
        after = os.times()
        if ended.returncode != 0 or "number of failed transactions: 0 " not in ended.stdout:
            raise CannotRun(f"pgbench failed: {ended.stderr.strip()[-500:]} {ended.stdout}")
        cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
        done = []
        for file in self._folder.glob("log.*"):
            done += [_logged(line) for line in file.read_text("ascii").splitlines()]
            file.unlink()
        ended_at = max(at for at, _ in done)
        timed = [latency_ms for at, latency_ms in done if at > ended_at - seconds]
        return Turn(len(done), len(timed) / seconds, statistics.median(timed), cpu_s)


def _logged(line: str) -> tuple[float, float]:
    """When a transaction ended, in seconds, and how many milliseconds it took."""
    _, _, took_us, _, at_s, at_us = line.split()[:6]
    return int(at_s) + int(at_us) / 1e6, int(took_us) / 1e3


def _inserts(rows: Mapping[str, Mapping[str, Any]]) -> tuple[list[str], dict[str, str]]:
    """The statements, and the values of the variables in them."""
    statements, values = [], {"announced": "ride-requested:req_"}  # pgbench would take a colon's right side for a name
    for table, row in rows.items():
        written = {name: value for name, value in row.items() if name not in _BY_SERVER or table != "outbox"}
        texts = []
        for name, value in written.items():
            if name in _LONG:
                values[f"{table}_{name}"] = str(value)
                texts.append(f":{table}_{name}")
            else:
                texts.append(_FRESH[name] if name in _FRESH else _literal(value))
        statements.append(f"INSERT INTO {table} ({', '.join(written)}) VALUES ({', '.join(texts)})")
    return statements, values


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else msgspec.json.encode(value).decode()


def _joined(inserts: Sequence[str]) -> str:
    *first, last = inserts
    return f"WITH {', '.join(f'part_{n} AS ({each})' for n, each in enumerate(first))} {last};"


def _program() -> str:
    """pgbench, which Debian keeps beside the server's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pgbench"), key=lambda path: int(path.parts[-3]))
    path = shutil.which("pgbench") or (str(found[-1]) if found else None)
    if path is None:
        raise CannotRun("this benchmark needs pgbench (Debian: apt-get install postgresql)")
    return path
