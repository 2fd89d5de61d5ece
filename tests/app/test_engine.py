"""The embedded engine as a whole: in what order it starts and stops, what it leaves behind, and what ends it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import psutil
import pytest
from websockets.exceptions import ConnectionClosed

from app.clock import engine_clock
from app.engine import RunningEngine, running_engine
from app.rooms import Rooms
from app.server import Server, reachable
from app.stores import Start
from core.errors import HexcabError, Unavailable
from core.geo import LatLng
from dispatch.searches import Searches
from dispatch.service import RideDesk
from location.gateway.server import Gateway
from maps.cities import City
from runtime.datadir import DataDir
from runtime.outbox import Relay
from runtime.settings import Settings, WebSettings
from runtime.tasks import Tasks
from runtime.valkey import LocalValkey
from tests.e2e.apps import Outside
from tests.e2e.engine_process import EngineProcess, hexcab

pytestmark = pytest.mark.slow


def settings_with(**web: Any) -> Settings:
    return Settings(web=WebSettings(**{"port": 0, "gateway_port": 0, **web}))


@contextlib.asynccontextmanager
async def engine_on(
    folder: Path, city: City, settings: Settings | None = None
) -> AsyncIterator[tuple[RunningEngine, Outside]]:
    """An engine in this process, and the world outside of it."""
    settings = settings or settings_with()
    with DataDir(folder) as data:
        start = Start(city, data, settings, engine_clock(data, settings.runtime.clock_speed))
        async with running_engine(start) as engine:
            port = int(engine.url.rpartition(":")[2])
            outside = EngineProcess(folder, port=port, gateway_port=engine.rooms.gateway.port)
            yield engine, Outside(outside)


def places_of(city: City) -> tuple[LatLng, LatLng]:
    """Two crossings about a kilometre apart by road, the first one in the middle of the city."""
    roads = city.roads
    lat, lng = roads.node_lat, roads.node_lng
    pickup = roads.node(int(np.argmin((lat - city.centre.lat) ** 2 + (lng - city.centre.lng) ** 2)))
    metres = city.eta.one_to(pickup, lat, lng).metres
    return pickup, roads.node(int(np.argmin(np.abs(metres - 1_000))))


def servers() -> list[int]:
    """Child processes of this one that live."""
    return [child.pid for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield int(holder.getsockname()[1])


async def test_the_api_opens_last_and_closes_first(
    tmp_path: Path, gothenburg: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def noted(kind: type, name: str) -> None:
        real: Callable[..., Any] = getattr(kind, name)

        def call(*words: Any, **named: Any) -> Any:
            seen.append(f"{kind.__name__}.{name}")
            return real(*words, **named)

        monkeypatch.setattr(kind, name, call)

    starts = [(LocalValkey, "start"), (Server, "open"), (Rooms, "prepare"), (Gateway, "start"), (Searches, "take")]
    starts += [(Relay, "start"), (Server, "start")]
    stops = [(Server, "close"), (Gateway, "close"), (RideDesk, "close"), (Relay, "close"), (Tasks, "close")]
    stops += [(LocalValkey, "stop")]
    for kind, name in starts + stops:
        noted(kind, name)
    async with engine_on(tmp_path / "d", gothenburg):
        assert seen == [f"{kind.__name__}.{name}" for kind, name in starts]
        seen.clear()
    assert seen == [f"{kind.__name__}.{name}" for kind, name in stops]


async def test_a_stop_says_goodbye_lets_calls_finish_and_accepts_nobody_any_more(
    tmp_path: Path, gothenburg: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()
    refused: list[str] = []
    drain = Gateway.drain

    async def slow() -> None:
        asked.set()
        await asyncio.sleep(0.5)

    async with contextlib.AsyncExitStack() as clients:
        async with engine_on(tmp_path / "d", gothenburg) as (engine, outside):

            async def late(gateway: Gateway) -> None:
                async with httpx.AsyncClient() as client:
                    try:
                        await client.get(f"{engine.url}/healthz")
                    except httpx.ConnectError as error:
                        refused.append(str(error))
                await drain(gateway)

            monkeypatch.setattr(Gateway, "drain", late)
            monkeypatch.setitem(engine.rooms.edge.readiness, "slow", slow)
            rider = await clients.enter_async_context(outside.rider("rdr_1"))
            ops = await clients.enter_async_context(outside.ops())
            await rider.hear("welcome")
            await ops.hear("hello")
            api = await clients.enter_async_context(outside.api(None))
            call = asyncio.create_task(api.get("/readyz"))
            await asyncio.wait_for(asked.wait(), 10)
        assert (await call).status_code == 200, "a call under way is answered"
        assert refused, "while the rooms close nobody is let in"
        for app in (rider, ops):
            with contextlib.suppress(ConnectionClosed):
                await app.socket.wait_closed()
            assert app.socket.close_code == 1001
    assert engine.failed.cancelled(), "nothing failed"


@pytest.mark.parametrize("which", ["port", "gateway_port"])
async def test_a_start_that_fails_leaves_nothing_running(
    tmp_path: Path, gothenburg: City, busy_port: int, which: str
) -> None:
    pickup, dropoff = places_of(gothenburg)
    async with engine_on(tmp_path / "d", gothenburg) as (_, outside):
        await outside.book(await outside.new_rider(), pickup, dropoff)  # a search that a start goes on with
    tasks, children = asyncio.all_tasks(), servers()
    with pytest.raises(Unavailable, match=f"port {busy_port} ") as raised:
        async with engine_on(tmp_path / "d", gothenburg, settings_with(**{which: busy_port})):
            pass
    assert raised.value.code == "port_unavailable"
    assert asyncio.all_tasks() == tasks
    assert servers() == children
    async with engine_on(tmp_path / "d", gothenburg) as (engine, _):
        assert len(engine.rooms.rides.searches) == 1, "the search goes on with the next start that succeeds"


@pytest.mark.parametrize("victim", ["the API's server", "the relay"])
async def test_an_engine_without_its_server_or_its_relay_is_over(tmp_path: Path, gothenburg: City, victim: str) -> None:
    tasks = asyncio.all_tasks()
    with pytest.raises(HexcabError, match=f"{victim} ended"):
        async with engine_on(tmp_path / "d", gothenburg) as (engine, _):
            (task,) = [each for each in asyncio.all_tasks() if each.get_name() == victim]
            task.cancel()
            await asyncio.wait_for(engine.run_until(asyncio.Event()), 10)
    assert asyncio.all_tasks() == tasks


_BROKEN = """
import asyncio, sys
import app.server
async def serve(self, sockets):
    await asyncio.sleep(0.5)
    raise OSError("too many open files")
app.server.Uvicorn.serve = serve
from app.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("command", [("serve",), ("demo", "--drivers", "1", "--json")], ids=lambda words: words[0])
def test_a_command_whose_engine_is_over_ends_with_1_and_the_reason(
    tmp_path: Path, gothenburg_home: Path, command: tuple[str, ...]
) -> None:
    words = [*command, "--port", "0", "--data-dir", str(tmp_path / "d")]
    environment = {**os.environ, "HEXCAB_HOME": str(gothenburg_home)}
    done = subprocess.run(
        [sys.executable, "-c", _BROKEN, *words],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("hexcab: the engine cannot go on")
    assert "too many open files" in last
    assert not done.stdout


async def test_work_in_the_background_outlives_its_failures(
    tmp_path: Path, gothenburg: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = 0

    async def catch_up(_: object) -> int:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise ZeroDivisionError("a fault")
        return 1 if tries < 4 else 0

    monkeypatch.setattr("trips.billing.Billing.catch_up", catch_up)
    fast = msgspec.structs.replace(Settings().runtime, clock_speed=1_000.0)
    settings = msgspec.structs.replace(settings_with(), runtime=fast)
    async with engine_on(tmp_path / "d", gothenburg, settings) as (engine, _):
        async with asyncio.timeout(10):
            while tries < 4:
                await asyncio.sleep(0.05)
        assert not engine.failed.done()


async def test_a_redis_that_died_is_started_again_and_told_everything(tmp_path: Path, gothenburg: City) -> None:
    before = servers()
    pickup, dropoff = places_of(gothenburg)
    async with engine_on(tmp_path / "d", gothenburg) as (_, outside):
        (child,) = set(servers()) - set(before)
        driver_id, rider_id = await outside.new_driver(), await outside.new_rider()
        async with outside.driver(driver_id, pickup) as driver:
            os.kill(child, signal.SIGKILL)
            while child in servers():
                await asyncio.sleep(0.01)
            (tmp_path / "d" / "valkey" / "appendonlydir").rename(tmp_path / "lost")  # and its data with it
            async with outside.api() as api, asyncio.timeout(20):
                while (await api.get("/readyz")).status_code != 200:
                    await asyncio.sleep(0.05)
            await outside.seen(driver_id, pickup)
            await outside.book(rider_id, pickup, dropoff)
            await driver.hear("offer")
    assert servers() == before


async def test_apps_are_told_the_port_that_was_found_for_drivers(tmp_path: Path, gothenburg: City) -> None:
    async with engine_on(tmp_path / "d", gothenburg) as (engine, outside):
        async with outside.api(None) as api:
            told = (await api.get("/v1/config")).json()["gateway_url"]
        assert told == engine.gateway_url
        assert ":0/" not in told


async def test_an_ipv6_host_stands_in_brackets(tmp_path: Path, gothenburg: City) -> None:
    with contextlib.closing(socket.socket(socket.AF_INET6)) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
    async with engine_on(tmp_path / "d", gothenburg, settings_with(host="::1")) as (engine, _):
        assert engine.url.startswith("http://[::1]:")
        async with httpx.AsyncClient() as api:
            told = (await api.get(f"{engine.url}/v1/config")).json()["gateway_url"]
        assert told == engine.gateway_url
        assert told.startswith("ws://[::1]:")


@pytest.mark.parametrize(
    ("host", "named"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("::", "[::1]"),
        ("fe80::1", "[fe80::1]"),
        ("cabs.example", "cabs.example"),
    ],
)
def test_a_host_to_listen_on_is_named_as_it_can_be_reached(host: str, named: str) -> None:
    assert reachable(host) == named


def test_a_misspelt_city_does_not_claim_the_data_directory(tmp_path: Path, gothenburg_home: Path) -> None:
    words = ("serve", "--city", "gotenburg", "--port", "0", "--data-dir", str(tmp_path / "d"))
    done = hexcab(*words, env={**os.environ, "HEXCAB_HOME": str(gothenburg_home)})
    assert done.returncode == 1
    assert "gotenburg" in done.stderr
    assert not (tmp_path / "d" / "city.json").exists()


def _zone_around(at: LatLng, **properties: Any) -> dict[str, Any]:
    west, south, east, north = at.lng - 0.001, at.lat - 0.001, at.lng + 0.001, at.lat + 0.001
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    return {"type": "Feature", "properties": {"name": "Square", **properties}, "geometry": geometry}


async def test_zones_of_operators_refuse_and_raise_bookings_and_outlive_the_engine(
    tmp_path: Path, gothenburg: City
) -> None:
    pickup, dropoff = places_of(gothenburg)
    ride = {"rider_id": "rdr_1", "pickup": pickup._asdict(), "dropoff": dropoff._asdict()}
    instead = {"lat": dropoff.lat, "lng": dropoff.lng, "name": "Corner"}
    closed = _zone_around(pickup, kind="no_pickup", pickup_points=[instead]) | {"id": "square"}
    async with engine_on(tmp_path / "d", gothenburg) as (engine, _), httpx.AsyncClient(base_url=engine.url) as http:
        ops = {"Authorization": f"Bearer {engine.mint('ops', 'ops_1')}"}
        rider = {"Authorization": f"Bearer {engine.mint('rider', 'rdr_1')}"}
        plain = (await http.post("/v1/quotes", json=ride, headers=rider)).json()
        assert (await http.post("/v1/zones", json=closed, headers=ops)).status_code == 201
        for path in ("/v1/quotes", "/v1/ride-requests"):
            refused = await http.post(path, json=ride, headers=rider)
            assert (refused.status_code, refused.json()["code"]) == (422, "no_pickup")
            assert refused.json()["pickup_points"] == [instead]
        quoted = await http.post("/v1/ride-requests", json={**ride, "quote_id": plain["quote_id"]}, headers=rider)
        assert quoted.json()["code"] == "no_pickup", "a quote from before the zone is no way in"

    async with engine_on(tmp_path / "d", gothenburg) as (engine, _), httpx.AsyncClient(base_url=engine.url) as http:
        ops = {"Authorization": f"Bearer {engine.mint('ops', 'ops_1')}"}
        rider = {"Authorization": f"Bearer {engine.mint('rider', 'rdr_1')}"}
        shown = (await http.get("/v1/zones", headers=ops)).json()
        assert {each["id"]: each["properties"]["source"] for each in shown["features"]} == {
            "square": "ops",
            "roads": "roads",
        }
        assert (await http.delete("/v1/zones/square", headers=ops)).status_code == 204
        dear = _zone_around(pickup, kind="surge_floor", surge=2)
        assert (await http.post("/v1/zones", json=dear, headers=ops)).status_code == 201
        quote = (await http.post("/v1/quotes", json=ride, headers=rider)).json()
        assert quote["surge"] == 2
        assert quote["fare"]["amount_minor"] > plain["fare"]["amount_minor"]
        booked = await http.post("/v1/ride-requests", json=ride, headers=rider)
        assert booked.status_code == 201


async def test_drivers_wait_in_line_at_the_airport_and_keep_their_places_over_a_restart(
    tmp_path: Path, gothenburg: City
) -> None:
    pickup, dropoff = places_of(gothenburg)
    zone = _zone_around(pickup, kind="airport_queue") | {"id": "air"}
    drivers: list[str] = []
    async with engine_on(tmp_path / "d", gothenburg) as (_, outside):
        async with outside.api() as api:
            assert (await api.post("/v1/zones", json=zone)).status_code == 201
        for place in (1, 2):
            drivers.append(await outside.new_driver())
            async with outside.driver(drivers[-1], pickup) as app, app.pinging(pickup):
                told = await app.hear("queue")
                assert (told["zone_id"], told["position"], told["length"]) == ("air", place, place)

    async with engine_on(tmp_path / "d", gothenburg) as (_, outside):
        async with outside.driver(drivers[1]) as late, late.pinging(pickup):  # online, as before
            assert (await late.hear("queue"))["position"] == 2, "the other one's place is kept"
            async with outside.driver(drivers[0]) as early, early.pinging(pickup):
                assert (await early.hear("queue"))["position"] == 1
                await outside.seen(drivers[0], pickup)
                await outside.book(await outside.new_rider(), pickup, dropoff)
                offer = await early.hear("offer")
                assert (offer["mode"], late.all("offer")) == ("best", [])
                assert "number 1 in line" in offer["why"]
                await early.say("accept", offer_id=offer["offer_id"])
                assert (await early.hear("queue", zone_id="air", position=None))["length"] is None
                assert (await late.hear("queue", position=1))["length"] == 1


async def test_a_closed_street_makes_ways_longer_until_it_is_opened(tmp_path: Path, gothenburg: City) -> None:
    pickup, dropoff = places_of(gothenburg)
    ride = {"rider_id": "rdr_1", "pickup": pickup._asdict(), "dropoff": dropoff._asdict()}
    path = gothenburg.paths.path(pickup, dropoff)
    middle = len(path.lat) // 2
    here = LatLng(float(path.lat[middle]), float(path.lng[middle]))
    feature = _zone_around(here)
    async with engine_on(tmp_path / "d", gothenburg) as (engine, _), httpx.AsyncClient(base_url=engine.url) as http:
        ops = {"Authorization": f"Bearer {engine.mint('ops', 'ops_1')}"}
        rider = {"Authorization": f"Bearer {engine.mint('rider', 'rdr_1')}"}
        before = (await http.post("/v1/quotes", json=ride, headers=rider)).json()["duration_s"]
        made = await http.post("/v1/roads/closures", json=feature, headers=ops)
        assert made.status_code == 201, made.text
        (closure,) = made.json()["features"]
        assert closure["properties"]["edges"] > 0
        assert (await http.post("/v1/quotes", json=ride, headers=rider)).json()["duration_s"] > before
        assert (await http.delete(f"/v1/roads/closures/{closure['id']}", headers=ops)).status_code == 204
        assert (await http.post("/v1/quotes", json=ride, headers=rider)).json()["duration_s"] == before
