"""Every command from a shell: exit codes, what stands on stdout, and what is said of bad input."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from cities import bundled_pbf
from core.geo import LatLng
from maps.cities import City
from runtime.datadir import DataDir
from tests.e2e.apps import Outside
from tests.e2e.engine_process import EngineProcess, hexcab

pytestmark = pytest.mark.slow

SIMULATED = [
    *("requests", "served", "served_pct", "cancelled", "rejected_rows", "wait_s", "match_s", "pickup_km_mean"),
    *("driver", "drivers", "sim_s", "wall_s", "speedup", "mode", "seed", "h1_pct", "bound", "served_by_length_pct"),
]
SHOWN_BY_DEMO = {"drivers", "requests", "offers", "assigned", "completed", "wait_s", "pings_per_s", "rss_mb"}


def failed(*words: str, **more: Any) -> str:
    """Run a command that must fail, with nothing on stdout and no traceback; what it said."""
    done = hexcab(*words, **more)
    assert done.returncode == 1, (done.stdout, done.stderr)
    assert not done.stdout
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("hexcab: ")
    return last


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("fly",),
        ("token",),
        ("token", "rider"),
        ("token", "driver"),
        ("token", "king", "--id", "x"),
        ("city",),
        ("city", "add", "x"),
        ("archive", "eat"),
        ("db", "downgrade"),
        ("serve", "--port", "70000"),
        ("serve", "--role", "everything"),
        ("demo", "--drivers", "0"),
        ("demo", "--minutes", "nan"),
        ("simulate", "--city", "gothenburg", "--trips", "synthetic"),
        ("simulate", "--city", "gothenburg", "--trips", "synthetic", "--drivers", "0"),
        ("simulate", "--city", "gothenburg", "--trips", "synthetic", "--drivers", "2", "--mode", "nonsense"),
        ("simulate", "--city", "gothenburg", "--trips", "synthetic", "--drivers", "2", "--fleet", "fleet.csv"),
    ],
    ids=" ".join,
)
def test_bad_usage_is_2(words: tuple[str, ...], tmp_path: Path) -> None:
    done = hexcab(*words, cwd=tmp_path)
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert not done.stdout
    assert done.stderr
    assert "Traceback" not in done.stderr


def test_a_token_is_signed_with_the_key_of_the_data_directory(tmp_path: Path) -> None:
    for scope, subject in (("rider", "rdr_1"), ("driver", "anything at all"), ("ops", "ada"), ("ops", None)):
        done = hexcab("token", scope, "--data-dir", str(tmp_path / "d"), *(["--id", subject] if subject else []))
        assert (done.returncode, done.stderr) == (0, "")
        (line,) = done.stdout.splitlines()
        claims = jwt.decode(line, DataDir(tmp_path / "d").key(), algorithms=["HS256"])
        assert (claims["scope"], claims["sub"]) == (scope, subject or "ops")
    assert (tmp_path / "d" / "server.key").stat().st_mode & 0o777 == 0o600
    (tmp_path / "file").touch()
    assert str(tmp_path / "file") in failed("token", "ops", "--data-dir", str(tmp_path / "file"))


async def test_a_token_from_the_shell_opens_the_api(outside: Outside) -> None:
    token = await asyncio.to_thread(outside.engine.token, "ops")
    async with outside.api(None) as api:
        answer = await api.get("/v1/trips/trip_1", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 404


def test_cities_are_listed_and_shown() -> None:
    listed = hexcab("city", "list")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert any(line.startswith("gothenburg ") for line in listed.stdout.splitlines())
    shown = hexcab("city", "show", "gothenburg")
    assert (shown.returncode, shown.stderr) == (0, "")
    facts = dict(line.split(": ", 1) for line in shown.stdout.splitlines())
    assert facts["name"] == "gothenburg"
    assert int(facts["nodes"]) > 10_000
    assert "atlantis" in failed("city", "show", "atlantis")


def test_a_city_that_exists_is_not_built_over(home: Path) -> None:
    before = sorted(path.stat().st_mtime_ns for path in home.rglob("*"))
    said = failed("city", "add", "gothenburg", "--pbf", str(bundled_pbf()))
    assert "gothenburg" in said
    assert "--replace" in said
    assert sorted(path.stat().st_mtime_ns for path in home.rglob("*")) == before


def test_an_extract_that_cannot_be_used_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    environment = {"env": {**os.environ, "HEXCAB_HOME": str(tmp_path / "home")}}
    whole = bundled_pbf().read_bytes()
    noise = random.Random(1).randbytes(5_000)
    for name, content in (("noise", noise), ("cut", whole[:400_000]), ("empty", b"")):
        file = tmp_path / f"{name}.osm.pbf"
        file.write_bytes(content)
        assert str(file) in failed("city", "add", "broken", "--pbf", str(file), **environment)
    missing = tmp_path / "missing.osm.pbf"
    assert str(missing) in failed("city", "add", "broken", "--pbf", str(missing), **environment)
    assert "bad name" in failed("city", "add", "bad name", "--pbf", str(bundled_pbf()), **environment)
    assert hexcab("city", "list", **environment).stdout.startswith("no city packs")
    assert not [path for path in (tmp_path / "home").rglob("*") if path.is_file()]


def simulated(*words: str) -> dict[str, Any]:
    """The report of a simulation in gothenburg, which is all that stands on stdout."""
    done = hexcab("simulate", "--city", "gothenburg", "--json", *words)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    (line,) = done.stdout.splitlines()
    report: dict[str, Any] = json.loads(line)
    assert list(report) == SIMULATED
    return report


def test_a_simulation_is_repeated_to_the_byte(tmp_path: Path) -> None:
    words = ("--trips", "synthetic", "--drivers", "10", "--seed", "3", "--mode", "broadcast")
    first = simulated(*words, "--out", str(tmp_path / "1"))
    second = simulated(*words, "--out", str(tmp_path / "2"))
    timed = ("wall_s", "speedup")
    assert [json.dumps({**each, **dict.fromkeys(timed, 0)}) for each in (first, second)] == [
        json.dumps({**first, **dict.fromkeys(timed, 0)})
    ] * 2
    assert (tmp_path / "1" / "trips.csv").read_bytes() == (tmp_path / "2" / "trips.csv").read_bytes()
    assert json.loads((tmp_path / "1" / "report.json").read_text()) == first
    assert (first["mode"], first["seed"], first["drivers"]) == ("broadcast", 3, 10)
    assert first["served_pct"] == pytest.approx(100 * first["served"] / first["requests"], abs=0.001)
    assert list(first["wait_s"]) == ["mean", "p50", "p95"]
    assert list(first["match_s"]) == ["mean", "p95"]
    welfare = ["empty_km_mean", "earned_per_hour_mean", "earned_per_hour_p10", "idle_s_p95"]
    assert list(first["driver"]) == ["utilisation_pct", "empty_km_pct", "earnings_gini", *welfare]
    pages = [(tmp_path / out / "report.html").read_text("utf-8") for out in ("1", "2")]
    assert pages[0] == pages[1], "nothing on the page depends on the machine"
    assert len(first["served_by_length_pct"]) == 4


def trips(city: City, count: int) -> dict[str, list[Any]]:
    """Columns of trips between crossings of a city."""
    rng = random.Random(5)
    start = datetime(2026, 1, 5, 8, tzinfo=UTC)
    ends = [city.roads.node(rng.randrange(city.roads.node_count)) for _ in range(2 * count)]
    return {
        "request_time": [start + timedelta(minutes=row) for row in range(count)],
        "pickup_lat": [place.lat for place in ends[:count]],
        "pickup_lng": [place.lng for place in ends[:count]],
        "dropoff_lat": [place.lat for place in ends[count:]],
        "dropoff_lng": [place.lng for place in ends[count:]],
    }


def test_rows_that_cannot_be_used_are_counted_by_reason(tmp_path: Path, gothenburg: City) -> None:
    rows = trips(gothenburg, 9)
    rows["request_time"][0] = None
    rows["pickup_lat"][1] = float("nan")
    rows["dropoff_lng"][2] = 181.0
    rows["pickup_lat"][3], rows["pickup_lng"][3] = LatLng(0.0, 0.0)
    rows["passengers"] = [1, 1, 1, 1, 9, 1, 1, 1, 1]
    rows["trip_id"] = ["a", "b", "c", "d", "e", "f", "f", "g", "h"]
    table = pa.table(rows)
    pa.parquet.write_table(table, tmp_path / "trips.parquet")
    pa.csv.write_csv(table, tmp_path / "trips.csv")
    for name in ("trips.parquet", "trips.csv"):
        report = simulated("--trips", str(tmp_path / name), "--drivers", "3")
        assert report["requests"] == 3, name
        assert report["rejected_rows"] == {
            "duplicate_trip_id": 1,
            "missing_value": 1,
            "out_of_range": 3,
            "outside_city": 1,
        }, name


def test_a_file_of_trips_that_cannot_be_used_is_named_with_its_column(tmp_path: Path, gothenburg: City) -> None:
    good = trips(gothenburg, 3)

    def told(file: Path) -> str:
        said = failed("simulate", "--city", "gothenburg", "--trips", str(file), "--drivers", "2", "--json")
        assert str(file) in said
        return said

    def written(name: str, **columns: Any) -> Path:
        kept = {key: value for key, value in {**good, **columns}.items() if value is not None}
        pa.parquet.write_table(pa.table(kept), tmp_path / name)
        return tmp_path / name

    assert "'dropoff_lat' is missing" in told(written("missing.parquet", dropoff_lat=None))
    assert "'pickup_lng' must be a number" in told(written("text.parquet", pickup_lng=["a", "b", "c"]))
    (tmp_path / "noise.parquet").write_bytes(random.Random(2).randbytes(2_000))
    told(tmp_path / "noise.parquet")
    told(tmp_path / "absent.parquet")
    (tmp_path / "fleet.csv").write_text("lat,lng\n57.70,11.97\n0,0\n")
    words = ("--trips", "synthetic", "--fleet", str(tmp_path / "fleet.csv"))
    said = failed("simulate", "--city", "gothenburg", "--json", *words)
    assert f"{tmp_path / 'fleet.csv'}: row 2" in said


def test_a_city_that_is_not_there_is_named_and_not_remembered(tmp_path: Path) -> None:
    words = ("--city", "atlantis", "--data-dir", str(tmp_path / "d"))
    assert "atlantis" in failed("serve", *words)
    assert "atlantis" in failed("demo", *words)
    assert "atlantis" in failed("simulate", *words[:2], "--trips", "synthetic", "--drivers", "1")
    assert DataDir(tmp_path / "d").recall("city") is None


def test_the_demo_prints_one_object_and_ends_well(tmp_path: Path) -> None:
    words = ("--minutes", "0.2", "--drivers", "30", "--rate", "2000", "--port", "0", "--speed", "10")
    done = hexcab("demo", *words, "--data-dir", str(tmp_path / "d"), "--json")
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    shown = json.loads(line)
    assert set(shown) >= SHOWN_BY_DEMO
    assert 0 < shown["drivers"] <= 30
    assert shown["requests"] > 0
    assert shown["offers"] > 0
    assert shown["pings_per_s"] > 0
    assert shown["rss_mb"] > 0


async def test_the_schema_is_brought_up_to_date_but_not_under_a_running_engine(
    outside: Outside, tmp_path: Path
) -> None:
    for _ in range(2):
        done = hexcab("db", "upgrade", "--data-dir", str(tmp_path / "d"))
        assert (done.returncode, done.stderr) == (0, "")
    _of_another_version(tmp_path / "d" / "hexcab.db")
    assert "schema" in await asyncio.to_thread(failed, "db", "upgrade", "--data-dir", str(tmp_path / "d"))
    assert outside.engine.process is not None
    said = await asyncio.to_thread(failed, "db", "upgrade", "--data-dir", str(outside.engine.data_dir))
    assert f"process {outside.engine.process.pid}" in said


def _of_another_version(database: Path) -> None:
    connection = sqlite3.connect(database)
    connection.execute("UPDATE alembic_version SET version_num = '9999' WHERE version_num LIKE 'trips%'")
    connection.commit()
    connection.close()


def test_the_archive_runs_on_an_engines_data_alone(tmp_path: Path) -> None:
    assert str(tmp_path / "d") in failed("archive", "run", "--data-dir", str(tmp_path / "d"))
    assert not (tmp_path / "d").exists()
    assert hexcab("db", "upgrade", "--data-dir", str(tmp_path / "d")).returncode == 0
    done = hexcab("archive", "run", "--data-dir", str(tmp_path / "d"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("0 trips archived")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_serve_ends_with_0_when_it_is_told_to_stop(folder: Path, number: signal.Signals) -> None:
    engine = EngineProcess(folder / "stop")
    await engine.start()
    assert engine.process is not None
    engine.process.send_signal(number)
    try:
        assert await asyncio.to_thread(engine.process.wait, 45) == 0
    finally:
        engine.kill()
    assert "Traceback" not in engine.last_words()
