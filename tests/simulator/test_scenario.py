"""Files of trips: what is usable, what is counted, what is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.errors import BadFile
from simulator.model import SimulationAsk, quiet
from simulator.scenario import Scenario, names_nodes, place_trips, read_node_trips, read_trips
from simulator.service import run
from simulator.starts import drawn_starts, read_starts
from tests.simulator.plane import RULES, PlaneCity

HEADER = "trip_id,request_time,pickup_lat,pickup_lng,dropoff_lat,dropoff_lng,passengers\n"
GOOD = "good,2026-01-05T08:00:00Z,0.01,0.01,0.01,0.02,1\n"


def written(folder: Path, text: str, name: str = "trips.csv") -> Path:
    file = folder / name
    file.write_text(text)
    return file


def placed(file: Path) -> Scenario:
    starts = (np.array([0.01]), np.array([0.01]))
    return place_trips(read_trips(file, 100), starts, PlaneCity(), quiet)


def parquet(folder: Path, **changes: object) -> Path:
    at = datetime(2026, 1, 5, 8, tzinfo=UTC)
    columns: dict[str, object] = {
        "request_time": pa.array([at, at], pa.timestamp("ns", tz="UTC")),
        "pickup_lat": [0.01, 0.01],
        "pickup_lng": [0.01, 0.01],
        "dropoff_lat": [0.01, None],
        "dropoff_lng": [0.02, 0.02],
    }
    columns.update(changes)
    file = folder / "trips.parquet"
    pq.write_table(pa.table({name: value for name, value in columns.items() if value is not None}), file)
    return file


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("a,,0.01,0.01,0.01,0.02,1", "missing_value"),
        ("a,2026-01-05T08:00:00Z,0.01,,0.01,0.02,1", "missing_value"),
        ("a,yesterday,0.01,0.01,0.01,0.02,1", "bad_type"),
        ("a,2026-01-05T08:00:00Z,north,0.01,0.01,0.02,1", "bad_type"),
        ("a,2026-01-05T08:00:00Z,0.01,0.01,0.01,0.02,many", "bad_type"),
        ("a,2026-01-05T08:00:00Z,91,0.01,0.01,0.02,1", "out_of_range"),
        ("a,2026-01-05T08:00:00Z,nan,0.01,0.01,0.02,1", "out_of_range"),
        ("a,2026-01-05T08:00:00Z,0.01,inf,0.01,0.02,1", "out_of_range"),
        ("a,2026-01-05T08:00:00Z,0.01,0.01,0.01,0.02,0", "out_of_range"),
        ("a,2026-01-05T08:00:00Z,0.01,0.01,0.01,0.02,1.5", "out_of_range"),
        ("good,2026-01-05T08:00:00Z,0.01,0.01,0.01,0.02,1", "duplicate_trip_id"),
        ("a,2026-01-05T08:00:00Z,-0.01,0.01,0.01,0.02,1", "outside_city"),
        ("a,2026-01-05T08:00:00Z,0.01,0.01,0.06,0.02,1", "off_road"),
        ("a,2026-01-05T08:00:00Z,0.01,0.01,0.01,0.095,1", "unreachable"),
    ],
)
def test_a_row_that_cannot_be_used_is_counted_by_its_reason(tmp_path: Path, row: str, reason: str) -> None:
    scenario = placed(written(tmp_path, HEADER + GOOD + GOOD.replace("good", "other") + row + "\n"))
    assert scenario.rejected == {reason: 1}
    assert scenario.requests.row.tolist() == [1, 2]


def test_rejected_and_usable_rows_add_up_to_the_file(tmp_path: Path) -> None:
    bad = "a,2026-01-05T08:00:00Z,0.01,0.01,0.06,0.02,1\nb,,0.01,0.01,0.01,0.02,1\n"
    scenario = placed(written(tmp_path, HEADER + bad + GOOD))
    assert sum(scenario.rejected.values()) + len(scenario.requests) == 3


def test_requests_come_in_order_of_time_and_keep_their_rows(tmp_path: Path) -> None:
    late = GOOD.replace("08:00:00Z", "09:00:00+00:00").replace("good", "late")
    scenario = placed(written(tmp_path, HEADER + late + GOOD))
    assert scenario.requests.row.tolist() == [2, 1]
    assert np.diff(scenario.requests.at).tolist() == [3600.0]


def test_times_without_a_zone_are_utc_and_offsets_are_honoured(tmp_path: Path) -> None:
    naive = GOOD.replace("Z", "")
    elsewhere = GOOD.replace("08:00:00Z", "10:00:00+02:00").replace("good", "other")
    scenario = placed(written(tmp_path, HEADER + naive + elsewhere))
    assert scenario.requests.at.tolist() == [datetime(2026, 1, 5, 8, tzinfo=UTC).timestamp()] * 2


def test_passengers_and_trip_id_are_optional(tmp_path: Path) -> None:
    text = "request_time,pickup_lat,pickup_lng,dropoff_lat,dropoff_lng\n2026-01-05T08:00:00Z,0.01,0.01,0.01,0.02\n"
    scenario = placed(written(tmp_path, text))
    assert scenario.raw.trip_id == ["1"]
    assert scenario.requests.passengers.tolist() == [1]


def test_parquet_and_csv_mean_the_same(tmp_path: Path) -> None:
    from_parquet, from_csv = placed(parquet(tmp_path)), placed(written(tmp_path, HEADER + GOOD))
    assert from_parquet.rejected == {"missing_value": 1}
    assert from_parquet.requests.at.tolist() == from_csv.requests.at.tolist()
    assert from_parquet.requests.direct_s.tolist() == from_csv.requests.direct_s.tolist() == [100.0]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", "request_time"),
        (HEADER, "no rows"),
        (HEADER.replace("pickup_lat", "lat"), "'pickup_lat' is missing"),
        (HEADER + GOOD + "one,two\n", "row 2 has 2 fields, the header 7"),
        (HEADER + GOOD.replace("0.02,1", "east,1"), "'dropoff_lng' must be a number, row 1 has 'east'"),
        (HEADER + 'a,"2026', "row 1"),
    ],
)
def test_a_bad_csv_names_the_file_and_what_is_wrong(tmp_path: Path, text: str, names: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(BadFile) as caught:
        read_trips(file, 100)
    assert str(file) in caught.value.detail
    assert names in caught.value.detail


def test_bytes_that_are_not_text_are_a_bad_file(tmp_path: Path) -> None:
    file = tmp_path / "trips.csv"
    file.write_bytes(HEADER.encode() + b"\xff\xfe\x00\n")
    with pytest.raises(BadFile, match="not UTF-8"):
        read_trips(file, 100)


def test_a_parquet_without_a_column_names_it(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"trips\.parquet: column 'dropoff_lng' is missing"):
        read_trips(parquet(tmp_path, dropoff_lng=None), 100)


def test_a_parquet_column_of_a_wrong_type_is_named_with_its_type(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"'request_time' must be a time .*, but is string"):
        read_trips(parquet(tmp_path, request_time=["a", "b"]), 100)
    with pytest.raises(BadFile, match="'pickup_lat' must be a number, but is string"):
        read_trips(parquet(tmp_path, pickup_lat=["a", "b"]), 100)


def test_a_damaged_or_absent_parquet_is_a_bad_file(tmp_path: Path) -> None:
    whole = parquet(tmp_path)
    for damaged in (b"nonsense", whole.read_bytes()[:-40], b""):
        whole.write_bytes(damaged)
        with pytest.raises(BadFile, match=r"trips\.parquet"):
            read_trips(whole, 100)
    with pytest.raises(BadFile, match="No such file"):
        read_trips(tmp_path / "absent.parquet", 100)


def test_damage_inside_the_data_pages_is_a_bad_file(tmp_path: Path) -> None:
    file = parquet(tmp_path)
    damaged = bytearray(file.read_bytes())
    damaged[4:200] = bytes(196)
    file.write_bytes(damaged)
    with pytest.raises(BadFile, match=r"trips\.parquet"):
        read_trips(file, 100)


def test_too_many_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="more than 1 rows"):
        read_trips(written(tmp_path, HEADER + GOOD + GOOD), 1)
    with pytest.raises(BadFile, match="more than 1 rows"):
        read_trips(parquet(tmp_path), 1)


def test_a_fleet_file_gives_the_starts_and_its_bad_rows_are_named(tmp_path: Path) -> None:
    lat, lng = read_starts(written(tmp_path, "lat,lng\n0.01,0.02\n0.03,0.04\n"), PlaneCity(), 10)
    assert (lat.tolist(), lng.tolist()) == ([0.01, 0.03], [0.02, 0.04])
    with pytest.raises(BadFile, match="row 2, column 'lat'"):
        read_starts(written(tmp_path, "lat,lng\n0.01,0.02\n99,0.04\n"), PlaneCity(), 10)
    with pytest.raises(BadFile, match=r"row 1: 0\.07, 0\.04 is not on a road"):
        read_starts(written(tmp_path, "lat,lng\n0.07,0.04\n"), PlaneCity(), 10)


def test_drawn_starts_are_usable_and_depend_on_the_seed_alone(tmp_path: Path) -> None:
    raw = read_trips(written(tmp_path, HEADER + GOOD), 100)
    draws = [drawn_starts(50, raw, PlaneCity(), np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])
    assert PlaneCity().inside(*draws[0]).all()


def test_a_file_without_one_usable_row_is_reported_not_refused(tmp_path: Path) -> None:
    file = written(tmp_path, HEADER + GOOD.replace("0.01", "0.07"))
    report = run(SimulationAsk(trips=file, drivers=3), PlaneCity(), RULES)
    assert (report.requests, report.rejected_rows, report.served_pct) == (0, {"off_road": 1}, None)


NODES_HEADER = "rq_time,start,end,request_id,direct_tt\n"


def test_trips_may_name_junctions_and_rows_that_name_none_are_counted(tmp_path: Path) -> None:
    rows = ["107,10,40,a,30", "50,0,49,b,49", "1,50,3,c,0", "2,1.5,3,d,0", "3,,3,e,0", "4,1,x,f,0", "inf,1,2,g,0"]
    file = written(tmp_path, NODES_HEADER + "\n".join(rows) + "\n")
    assert names_nodes(file)
    assert not names_nodes(written(tmp_path, HEADER + GOOD, "places.csv"))
    assert not names_nodes(tmp_path / "absent.csv")
    raw = read_node_trips(file, PlaneCity(), 100)
    assert raw.reason == [None, None, "unknown_node", "unknown_node", "missing_value", "bad_type", "out_of_range"]
    starts = (np.array([0.01]), np.array([0.01]))
    requests = place_trips(raw, starts, PlaneCity(), quiet).requests
    assert (requests.at.tolist(), requests.direct_s.tolist(), requests.row.tolist()) == (
        [50.0, 107.0],
        [49.0, 30.0],
        [2, 1],
    )


def test_a_file_of_junctions_and_a_fleet_of_junctions_are_simulated(tmp_path: Path) -> None:
    trips = written(tmp_path, NODES_HEADER + "0,10,40,a,30\n5,20,30,b,10\n", "requests.csv")
    fleet = written(tmp_path, "vehicle_id,start_node\n0,10\n1,25\n", "fleet.csv")
    report = run(SimulationAsk(trips=trips, fleet=fleet), PlaneCity(), RULES)
    assert (report.requests, report.served, report.drivers, report.rejected_rows) == (2, 2, 2, {})
    assert report.wait_s.mean == 2.5


def test_a_fleet_at_a_junction_that_is_not_there_is_refused_by_row(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"fleet\.csv: row 2, column 'start_node': there is no such node"):
        read_starts(written(tmp_path, "start_node\n1\n50\n", "fleet.csv"), PlaneCity(), 10)
