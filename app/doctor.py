"""`hexcab doctor`: look at this machine, the city and every engine of the settings, and say what is wrong."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from app.databases import ROOMS, Databases, open_databases
from app.keys import server_key
from app.schema import SCRIPTS
from core.errors import HexcabError
from location.adapters.cassandra import TABLES as TRAIL_TABLES
from maps.cityinfo import show_city
from runtime.clocks import SystemClock
from runtime.datadir import DataDir
from runtime.doctor.cassandra import look_at_cassandra
from runtime.doctor.findings import RANK, Examination, Finding, Standards, examine
from runtime.doctor.kafka import look_at_kafka
from runtime.doctor.machine import look_at_machine
from runtime.doctor.redis import look_at_redis
from runtime.doctor.sql import look_at_sql
from runtime.home import default_home
from runtime.settings import Settings, load_settings
from trips.adapters.cassandra import TABLES as TRIP_TABLES

_MARKS = {"ok": "[green]ok[/]", "warn": "[yellow]warn[/]", "fail": "[red]fail[/]"}


def run(arguments: argparse.Namespace) -> int:
    """0 when nothing has failed; warnings are no failure. Nothing is changed."""
    settings = load_settings(arguments.settings)
    findings = asyncio.run(_examined(arguments.city, DataDir(arguments.data_dir), settings))
    worst = max((each.status for each in findings), key=RANK.index)
    if arguments.json:
        print(msgspec.json.encode({"status": worst, "findings": findings}).decode())
    else:
        _print(findings)
    return 1 if worst == "fail" else 0


async def _examined(city: str, data: DataDir, settings: Settings) -> list[Finding]:
    databases = open_databases(settings.sql, data.sql_url)
    try:
        checks = list(_examinations(city, data, settings, databases))
        each = await asyncio.gather(*(examine(check, settings.doctor.check_timeout_s) for check in checks))
    finally:
        await databases.close()
    return [finding for findings in each for finding in findings]


def _examinations(city: str, data: DataDir, settings: Settings, databases: Databases) -> Iterator[Examination]:
    standards = Standards(settings.doctor, SystemClock())
    yield Examination(
        "data directory", partial(look_at_machine, data.path, settings.doctor), "choose another --data-dir"
    )
    yield Examination("key", partial(_look_at_key, data, settings), "set cluster.key_file to the file of all hosts")
    yield Examination("city", partial(_look_at_city, city, default_home()), "hexcab city add NAME --pbf FILE")
    for database, rooms in databases.each():
        check = f"sql {' '.join(rooms)}" if len(rooms) < len(ROOMS) else "sql"
        if settings.sql.url or (data.path / "hexcab.db").exists():  # opening a file that is not there would make it
            look = partial(look_at_sql, check, database, SCRIPTS, rooms, standards)
            yield Examination(check, look, "start the server, and compare [sql] with its address, user and password")
    if settings.redis.url:
        remedy = "start it, and compare redis.url with its address and password"
        yield Examination("redis", partial(look_at_redis, settings.redis, standards), remedy)
    if settings.kafka.brokers:
        remedy = "start it, and compare kafka.brokers with its advertised listeners"
        yield Examination("kafka", partial(look_at_kafka, settings.kafka), remedy)
    if settings.cassandra.hosts:
        tables = (*TRAIL_TABLES, *TRIP_TABLES)
        remedy = "start it, and compare [cassandra] with its addresses"
        yield Examination("cassandra", partial(look_at_cassandra, settings.cassandra, tables), remedy)


async def _look_at_key(data: DataDir, settings: Settings) -> Sequence[Finding]:
    if settings.cluster.key_file:
        server_key(data, settings.cluster)
        return [Finding("key", "ok", f"{settings.cluster.key_file} can be read")]
    if settings.redis.url:
        detail = "cluster.key_file is not set: hosts of other data directories do not know each other's tokens"
        return [Finding("key", "warn", detail, "give all hosts one file of 32 random bytes, readable by them alone")]
    return [Finding("key", "ok", "the data directory's own")]


async def _look_at_city(name: str, home: Path) -> Sequence[Finding]:
    try:
        info = show_city(name, home)
    except HexcabError as error:
        remedy = f"hexcab city add {name} --pbf FILE --replace; the bundled city is built by a start"
        return [Finding("city", "warn", error.detail, remedy)]
    return [Finding("city", "ok", f"{name}: {info.edges} edges, {info.road_km:.0f} km of roads")]


def _print(findings: Sequence[Finding]) -> None:
    table = Table("", "of", "what was found", box=None, pad_edge=False)
    for each in findings:
        detail = f"{each.detail}\n-> {each.remedy}" if each.remedy else each.detail
        table.add_row(_MARKS[each.status], each.check, escape(detail))
    Console().print(table)
