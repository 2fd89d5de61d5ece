"""The driver WebSocket as an app meets it: handshake, welcome, pings and acks, commands, going and coming back."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from core.errors import Conflict, Forbidden, InvalidInput, Unavailable
from location.messages import Position
from location.model import DriverState, TrailPoint
from runtime.settings import LocationSettings


async def refused(street: Any, path: str = "/v1/driver/ws", **options: Any) -> tuple[int, dict[str, Any]]:
    with pytest.raises(InvalidStatus) as caught:
        async with connect(f"ws://127.0.0.1:{street.gateway.port}{path}", compression=None, **options):
            pass
    response = caught.value.response
    return response.status_code, json.loads(response.body)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


# handshake


async def test_without_a_good_token_nobody_comes_in(street: Any) -> None:
    assert (await refused(street))[0] == 401
    status, body = await refused(street, additional_headers=bearer("nonsense"))
    assert (status, body["code"], body["status"]) == (401, "bad_token", 401)
    status, body = await refused(street, additional_headers={"Authorization": "Basic abc"})
    assert (status, body["code"]) == (401, "bad_token")
    assert street.gateway.counts().refused_handshakes == 3


async def test_another_scope_or_a_suspended_driver_is_forbidden(street: Any) -> None:
    assert (await refused(street, additional_headers=bearer("rider:rdr_1")))[0] == 403
    assert (await refused(street, additional_headers=bearer("blocked")))[0] == 403


@pytest.mark.parametrize("path", ["/", "/v1/driver", "/v1/driver/ws/", "/v1/rider/ws", "/v1/driver/ws2"])
async def test_every_other_path_is_not_found(street: Any, path: str) -> None:
    assert (await refused(street, path, additional_headers=bearer("driver:drv_1")))[0] == 404


async def test_a_ticket_opens_the_socket_too(street: Any) -> None:
    async with connect(f"ws://127.0.0.1:{street.gateway.port}/v1/driver/ws?ticket=drv_7", compression=None) as socket:
        assert json.loads(await socket.recv())["driver_id"] == "drv_7"


async def test_an_unknown_subprotocol_is_refused_by_name(street: Any) -> None:
    status, body = await refused(street, additional_headers=bearer("driver:drv_1"), subprotocols=["chat"])
    assert (status, body["code"], body["type"]) == (422, "unknown_subprotocol", "urn:hexcab:error:unknown_subprotocol")
    assert "hexcab.v1.msgpack" in body["detail"]


async def test_the_first_known_subprotocol_is_chosen_and_compression_is_not(street: Any) -> None:
    options = {"subprotocols": ["chat", "hexcab.v1.json", "hexcab.v1.msgpack"], "compression": "deflate"}
    async with street.app(**options) as app:
        assert app.socket.subprotocol == "hexcab.v1.json"
        assert "Sec-WebSocket-Extensions" not in app.socket.response.headers


async def test_a_busy_port_is_named(street: Any) -> None:
    second = street.new_gateway(street.gateway.port)
    with pytest.raises(Unavailable, match=str(street.gateway.port)):
        await second.start()


class TestFull:
    @pytest.fixture
    def location_settings(self) -> LocationSettings:
        return LocationSettings(max_connections=1, tick_s=0.01, ack_every_s=0.03)

    async def test_a_full_gateway_asks_to_come_again_later(self, street: Any) -> None:
        async with street.app():
            assert (await refused(street, additional_headers=bearer("driver:drv_2")))[0] == 503


# welcome and resume


async def test_the_welcome_tells_the_state(street: Any) -> None:
    trip = {"trip_id": "trip_1", "request_id": "req_1", "status": "assigned"}
    street.desk.states["drv_1"] = DriverState(trip, [{"offer_id": "off_1"}])
    async with street.app(welcome=False) as app:
        assert await app.hear() == {
            "type": "welcome",
            "driver_id": "drv_1",
            "last_seq": 0,
            "ping_interval_s": 5.0,
            "trip": trip,
            "offers": [{"offer_id": "off_1"}],
        }
    assert street.live.driver("drv_1").trip_id == "trip_1"


async def test_the_desk_knows_best_whether_a_driver_is_online(street: Any) -> None:
    street.live.set_online("drv_1", True, 0.0)
    street.desk.states["drv_1"] = DriverState(online=False)
    async with street.app() as app:
        await app.say("ping", **street.at(1))
        await app.acked(1)
        assert await street.in_supply() == []


async def test_a_message_that_is_delivered_before_the_welcome_follows_it(street: Any) -> None:
    async with street.app():
        pass
    await street.until(lambda: ("disconnected", "drv_1") in street.desk.calls)
    street.desk.gate.clear()
    async with street.app(welcome=False) as app:
        await street.until(lambda: street.gateway.connected("drv_1"))
        assert street.gateway.deliver("drv_1", {"type": "offer_closed", "offer_id": "off_1", "reason": "expired"})
        street.desk.gate.set()
        assert [(await app.hear())["type"], (await app.hear())["type"]] == ["welcome", "offer_closed"]


async def before_the_welcome(street: Any) -> None:
    """From here on the driver's state is known only once the desk's gate is open."""
    street.desk.gate.clear()
    async with street.app():
        pass  # the desk has this disconnection in hand until then


async def test_pings_that_come_before_the_welcome_belong_to_the_trip_and_are_part_of_last_seq(street: Any) -> None:
    await before_the_welcome(street)
    street.desk.states["drv_1"] = DriverState({"trip_id": "trip_1", "request_id": "req_1", "status": "riding"})
    async with street.app(welcome=False) as app:
        await app.say("ping", **street.at(1))
        await app.say("pings", items=[street.at(2), street.at(3)])
        await street.until(lambda: street.gateway.counts().frames_in == 2)
        assert street.gateway.counts().pings_accepted == 0
        street.desk.gate.set()
        assert (await app.hear("welcome"))["last_seq"] == 0, "not durable yet"
        await app.acked(3)
    assert (await street.trail.of_trip("trip_1")).seq.tolist() == [1, 2, 3]


@pytest.mark.parametrize("location_settings", [LocationSettings(max_buffered_pings=2)])
async def test_more_pings_before_the_welcome_than_one_message_may_hold_are_not_taken(street: Any) -> None:
    await before_the_welcome(street)
    async with street.app(welcome=False) as app:
        await app.say("pings", items=[street.at(1), street.at(2)])
        await app.say("ping", **street.at(3))
        assert await app.closed() == 1013


async def test_a_client_goes_on_from_last_seq_after_a_reconnection(street: Any) -> None:
    async with street.app() as app:
        for seq in (1, 2, 3):
            await app.say("ping", **street.at(seq))
        await app.acked(3)
    async with street.app(welcome=False) as app:
        assert (await app.hear("welcome"))["last_seq"] == 3


async def test_a_client_goes_on_from_last_seq_after_a_restart_of_the_engine(street: Any) -> None:
    async with street.app() as app:
        await app.say("pings", items=[street.at(1), street.at(2)])
        await app.acked(2)
    await street.gateway.close()
    street.live._drivers.clear()
    street.gateway = street.new_gateway()
    await street.gateway.start()
    async with street.app(welcome=False) as app:
        assert (await app.hear("welcome"))["last_seq"] == 2
        await app.say("ping", **street.at(2))
        await app.say("ping", **street.at(3))
        await app.acked(3)
    assert street.gateway.counts().pings_dropped["duplicate"] == 1
    assert (await street.trail.track("drv_1", 0, 2**60)).seq.tolist() == [1, 2, 3]


async def test_a_client_goes_on_from_what_another_host_logged_meanwhile(street: Any) -> None:
    async with street.app() as app:
        await app.say("ping", **street.at(1))
        await app.acked(1)
    at = street.at(7)
    await street.trail.append([TrailPoint("drv_1", None, False, Position(7, at["ts"], at["lat"], at["lng"]))])
    async with street.app(welcome=False) as app:
        assert (await app.hear("welcome"))["last_seq"] == 7
        await app.say("pings", items=[street.at(7), street.at(8)])
        await app.acked(8)
    assert street.gateway.counts().pings_dropped["duplicate"] == 1


async def test_a_log_that_is_away_or_hangs_does_not_hold_up_the_welcome(street: Any) -> None:
    async with street.app() as app:
        await app.say("ping", **street.at(1))
        await app.acked(1)
    street.trail.away = True
    async with street.app(welcome=False) as app:
        assert (await app.hear("welcome"))["last_seq"] == 1
    street.trail.away = False
    street.trail.gate.clear()
    async with street.app(welcome=False) as app:
        assert (await app.hear("welcome"))["last_seq"] == 1


async def test_a_desk_that_is_away_closes_with_try_again(street: Any) -> None:
    street.desk.errors["state"] = Unavailable("the SQL store did not answer")
    async with street.app(welcome=False) as app:
        assert await app.closed() == 1013


async def test_a_second_connection_replaces_the_first_and_the_state_goes_on(street: Any) -> None:
    async with street.app() as old:
        await old.say("status", online=True)
        await old.say("ping", **street.at(1))
        await old.acked(1)
        await street.until(lambda: street.live.driver("drv_1").online)
        async with street.app(welcome=False) as new:
            assert (await new.hear("welcome"))["last_seq"] == 1
            assert await old.closed() == 4001
            assert await street.in_supply() == ["drv_1"]
            assert street.gateway.connected("drv_1")
            await new.say("ping", **street.at(2))
            await new.acked(2)
        await street.until(lambda: ("disconnected", "drv_1") in street.desk.calls)
    assert [call for call in street.desk.calls if call[0] == "disconnected"] == [("disconnected", "drv_1")]


# pings


@pytest.mark.parametrize("binary", [False, True], ids=["json", "msgpack"])
async def test_a_ping_moves_the_driver_and_is_acked_in_both_encodings(street: Any, binary: bool) -> None:
    async with street.app(binary=binary) as app:
        await app.say("status", online=True)
        await app.say("ping", **street.at(1, heading=90, speed=8.3, accuracy=5))
        await app.acked(1)
        await street.until(lambda: street.live.driver("drv_1").online)
        assert await street.in_supply() == ["drv_1"]
        await app.say("status", online=False)
        await street.until(lambda: not street.live.driver("drv_1").online)
        assert await street.in_supply() == []
    assert street.gateway.counts().pings_accepted == 1


async def test_acks_are_cumulative_and_cover_dropped_pings(street: Any) -> None:
    async with street.app() as app:
        for seq in range(1, 11):
            await app.say("ping", **street.at(seq))
        await app.say("ping", **street.at(11, lat=85))
        await app.say("ping", **(street.at(10) | {"seq": 12}))
        await app.acked(12)
    counts = street.gateway.counts()
    assert counts.pings_accepted == 10
    assert {reason: n for reason, n in counts.pings_dropped.items() if n} == {"outside": 1, "too_soon": 1}


async def test_a_ping_from_the_future_is_counted_and_acked(street: Any) -> None:
    async with street.app() as app:
        await app.say("ping", **street.at(1, ts=int(street.clock.now() * 1000) + 30_500))
        await app.acked(1)
        assert street.gateway.counts().pings_dropped["future"] == 1
        assert street.live.driver("drv_1").ts < 0


async def test_a_driver_whose_clock_is_wrong_is_told_once(street: Any) -> None:
    now_ms = int(street.clock.now() * 1000)
    async with street.app() as app:
        await app.say("status", online=True)
        for seq, off_ms in ((1, -40_000), (2, -35_000), (3, 60_000)):
            await app.say("ping", **street.at(seq, ts=now_ms + off_ms))
        error = await app.hear("error")
        assert (error["code"], "40 s behind" in error["detail"]) == ("clock_skew", True)
        await app.acked(3)
        assert await street.in_supply() == []
        await app.say("ping", **street.at(4))
        await app.acked(4)
        await street.until(lambda: street.live.driver("drv_1").online)
        assert await street.in_supply() == ["drv_1"]
        assert street.gateway.counts().bad_messages == 0
    async with street.app() as app:
        await app.say("ping", **street.at(5, ts=now_ms + 60_000))
        assert "60 s ahead" in (await app.hear("error"))["detail"]


async def test_what_was_buffered_for_long_neither_places_a_driver_nor_alarms(street: Any) -> None:
    now_ms = int(street.clock.now() * 1000)
    async with street.app() as app:
        await app.say("status", online=True)
        await street.until(lambda: street.live.driver("drv_1").online)
        await app.say("pings", items=[street.at(seq, ts=now_ms - 600_000 + 5_000 * seq) for seq in range(1, 11)])
        assert (await app.hear())["type"] == "ack"
        assert street.gateway.counts().pings_accepted == 10
        assert await street.in_supply() == []


async def test_an_idle_disconnected_driver_is_out_of_the_supply_at_once(street: Any) -> None:
    async with street.app() as app:
        await app.say("status", online=True)
        await app.say("ping", **street.at(1))
        await app.acked(1)
        await street.until(lambda: street.live.driver("drv_1").online)
        assert await street.in_supply() == ["drv_1"]
    await street.until(lambda: not street.gateway.connected("drv_1"))
    assert await street.in_supply() == []
    assert not street.gateway.deliver("drv_1", {"type": "offer"})
    await street.until(lambda: ("disconnected", "drv_1") in street.desk.calls)


async def test_a_ping_of_a_trip_is_acked_only_when_it_is_durable(street: Any) -> None:
    async with street.app() as app:
        await app.say("ping", **street.at(1))
        await app.acked(1)
        street.supply.set_busy("drv_1", "trip_1")
        street.trail.gate.clear()
        await app.say("ping", **street.at(2))
        await app.say("ping", **street.at(3))
        await street.until(lambda: street.trail.waiting > 0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await app.acked(2)
        assert street.live.driver("drv_1").safe_seq == 1
        street.trail.gate.set()
        await app.acked(3)
    assert (await street.trail.of_trip("trip_1")).seq.tolist() == [2, 3]


async def test_pings_of_a_trip_wait_for_a_trail_log_that_is_away(street: Any) -> None:
    street.supply.set_busy("drv_1", "trip_1")
    street.trail.away = True
    async with street.app() as app:
        await app.say("pings", items=[street.at(seq) for seq in range(1, 6)])
        await street.until(lambda: street.gateway.counts().pings_waiting == 5)
        await asyncio.sleep(0.1)
    async with street.app(welcome=False) as app:
        assert (await app.hear("welcome"))["last_seq"] == 0  # what is not durable must be sent again
        await app.say("pings", items=[street.at(seq) for seq in range(1, 7)])
        street.trail.away = False
        await app.acked(6)
    assert (await street.trail.of_trip("trip_1")).seq.tolist() == [1, 2, 3, 4, 5, 6]


class TestTrailQueue:
    @pytest.fixture
    def location_settings(self) -> LocationSettings:
        return LocationSettings(
            tick_s=0.01, ack_every_s=0.03, trail_queue=3, trail_batch=2, trail_retry_s=0.02, close_grace_s=0.3
        )

    async def test_a_full_queue_turns_the_driver_away_and_loses_nothing(self, street: Any) -> None:
        street.supply.set_busy("drv_1", "trip_1")
        street.trail.away = True
        async with street.app() as app:
            await app.say("pings", items=[street.at(seq) for seq in range(1, 6)])
            assert await app.closed() == 1013
        street.trail.away = False
        await street.until(lambda: street.gateway.counts().pings_waiting == 0)
        async with street.app(welcome=False) as app:
            last_seq = (await app.hear("welcome"))["last_seq"]
            await app.say("pings", items=[street.at(seq) for seq in range(last_seq + 1, 6)])
            await app.acked(5)
        assert (await street.trail.of_trip("trip_1")).seq.tolist() == [1, 2, 3, 4, 5]

    async def test_idle_pings_are_dropped_and_counted_instead(self, street: Any) -> None:
        street.trail.away = True
        async with street.app() as app:
            await app.say("pings", items=[street.at(seq) for seq in range(1, 6)])
            await app.acked(5)
        assert street.gateway.counts().idle_pings_lost == 2
        assert street.gateway.counts().trip_pings_refused == 0

    async def test_an_outage_is_noted_with_what_was_not_taken_and_ends_by_itself(self, street: Any) -> None:
        street.supply.set_busy("drv_1", "trip_1")
        street.trail.away = True
        async with street.app() as app:
            await app.say("pings", items=[street.at(seq) for seq in range(1, 6)])
            assert await app.closed() == 1013
        await street.until(lambda: street.gateway.counts().trail_away)
        assert street.gateway.counts().trip_pings_refused == 1
        street.trail.away = False
        await street.until(lambda: not street.gateway.counts().trail_away)
        assert street.gateway.counts().pings_waiting == 0


class TestNoTicks:
    @pytest.fixture
    def location_settings(self) -> LocationSettings:
        return LocationSettings(tick_s=30.0, close_grace_s=0.3, complete_wait_s=0.1)

    async def test_a_trip_is_completed_only_after_the_pings_sent_before_are_durable(self, street: Any) -> None:
        durable: list[int] = []

        async def complete(_driver_id: str, trip_id: str) -> None:
            durable.append(len(await street.trail.of_trip(trip_id)))

        street.desk.complete = complete
        street.supply.set_busy("drv_1", "trip_1")
        async with street.app() as app:
            await app.say("pings", items=[street.at(seq) for seq in range(1, 51)])
            await app.say("complete", trip_id="trip_1")
            await app.say("complete", trip_id="trip_1")
            await street.until(lambda: len(durable) == 2)
        assert durable == [50, 50]
        assert street.live.undurable == {}

    async def test_a_log_that_is_away_does_not_hold_up_the_end_of_a_trip(self, street: Any) -> None:
        street.supply.set_busy("drv_1", "trip_1")
        street.trail.away = True
        async with street.app() as app:
            await app.say("ping", **street.at(1))
            await app.say("complete", trip_id="trip_1")
            await street.until(lambda: ("complete", "drv_1", "trip_1") in street.desk.calls)
        assert street.live.undurable == {"trip_1": 1}

    async def test_a_log_that_hangs_does_not_hold_up_the_end_of_a_trip_for_long(self, street: Any) -> None:
        street.supply.set_busy("drv_1", "trip_1")
        async with street.app() as app:
            street.trail.gate.clear()
            await app.say("ping", **street.at(1))
            await app.say("complete", trip_id="trip_1")
            await street.until(lambda: ("complete", "drv_1", "trip_1") in street.desk.calls)
            assert street.live.undurable == {"trip_1": 1}
            street.trail.gate.set()
        await street.gateway.drain()
        assert (await street.trail.of_trip("trip_1")).seq.tolist() == [1]


# commands


async def test_commands_reach_the_desk_in_their_order(street: Any) -> None:
    async with street.app() as app:
        await app.say("status", online=True)
        await app.say("accept", offer_id="off_1")
        await app.say("decline", offer_id="off_2", reason="far")
        await app.say("arrive", trip_id="trip_1")
        await app.say("board", trip_id="trip_1", start_code="1234")
        await app.say("complete", trip_id="trip_1")
        await app.say("cancel", trip_id="trip_2", reason="flat tyre")
        await street.until(lambda: len(street.desk.calls) == 8)
    assert street.desk.calls[:8] == [
        ("state", "drv_1"),
        ("status", "drv_1", True),
        ("accept", "drv_1", "off_1"),
        ("decline", "drv_1", "off_2", "far"),
        ("arrive", "drv_1", "trip_1"),
        ("board", "drv_1", "trip_1", "1234"),
        ("complete", "drv_1", "trip_1"),
        ("cancel", "drv_1", "trip_2", "flat tyre"),
    ]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Conflict("this offer went to someone else", code="offer_closed"), "offer_closed"),
        (InvalidInput("no"), "invalid_input"),
        (RuntimeError("a bug"), "internal"),
    ],
)
async def test_a_command_that_fails_is_answered_and_the_next_is_followed(
    street: Any, error: Exception, code: str
) -> None:
    street.desk.errors["accept"] = error
    async with street.app() as app:
        await app.say("accept", offer_id="off_1")
        await app.say("decline", offer_id="off_2")
        answer = await app.hear("error")
        assert (answer["code"], answer["about"]) == (code, "accept")
        assert "bug" not in answer["detail"]
        await street.until(lambda: ("decline", "drv_1", "off_2", None) in street.desk.calls)


async def test_a_driver_who_may_not_go_online_is_told_and_is_not_supply(street: Any) -> None:
    street.desk.errors["status"] = Forbidden("the account is not approved", code="not_approved")
    async with street.app() as app:
        await app.say("status", online=True)
        await app.say("ping", **street.at(1))
        assert (await app.hear("error"))["code"] == "not_approved"
        await street.until(lambda: street.gateway.counts().pings_accepted == 1)
        assert await street.in_supply() == []


async def test_commands_beyond_the_limit_are_refused_while_earlier_ones_wait(street: Any) -> None:
    street.desk.gate.clear()
    async with street.app() as app:
        for number in range(street.settings.max_commands + 3):
            await app.say("arrive", trip_id=f"trip_{number}")
        assert [(await app.hear("error"))["code"] for _ in range(3)] == ["too_many_commands"] * 3
        street.desk.gate.set()
        await street.until(lambda: len(street.desk.calls) == 1 + street.settings.max_commands)


async def test_slow_commands_hold_up_neither_pings_nor_other_drivers(street: Any) -> None:
    street.desk.gate.clear()
    async with street.app() as app, street.app("drv_2") as other:
        await app.say("accept", offer_id="off_1")
        for each in (app, other):
            await each.say("ping", **street.at(1))
            await each.acked(1)


# sending, and the end


async def test_messages_are_delivered_in_order(street: Any) -> None:
    async with street.app() as app:
        for number in range(20):
            assert street.gateway.deliver("drv_1", {"type": "heat", "n": number})
        assert [(await app.hear())["n"] for _ in range(20)] == list(range(20))
    assert street.gateway.counts().frames_out >= 20


async def test_draining_acknowledges_and_closes_everyone_with_1012(street: Any) -> None:
    street.supply.set_busy("drv_1", "trip_1")
    async with street.app() as app, street.app("drv_2") as other:
        await app.say("ping", **street.at(1))
        await street.until(lambda: street.gateway.counts().pings_accepted == 1)
        port = street.gateway.port
        await street.gateway.drain()
        await app.acked(1)
        assert (await app.closed(), await other.closed()) == (1012, 1012)
        with pytest.raises(OSError, match=r"refused|Connect"):
            await asyncio.open_connection("127.0.0.1", port)
    assert (await street.trail.of_trip("trip_1")).seq.tolist() == [1]
    assert ("disconnected", "drv_1") not in street.desk.calls


async def test_closing_finishes_what_drivers_asked_for(street: Any) -> None:
    street.desk.gate.clear()
    async with street.app() as app:
        await app.say("complete", trip_id="trip_1")
        await street.until(lambda: bool(street.gateway.counts().frames_in))
        closing = asyncio.create_task(street.gateway.close())
        await app.closed()
        street.desk.gate.set()
        await closing
    assert ("complete", "drv_1", "trip_1") in street.desk.calls


async def test_drivers_who_are_open_for_work_but_silent_count_as_stale(street: Any) -> None:
    async with street.app("drv_1") as silent, street.app("drv_2") as fresh, street.app("drv_3") as closed:
        for app in (silent, fresh, closed):
            await app.say("status", online=app is not closed)
            await app.say("ping", **street.at(50))
            await app.acked(50)
        await street.until(lambda: street.live.driver("drv_1").online and street.live.driver("drv_2").online)
        assert (street.gateway.counts().connections, street.gateway.counts().stale) == (3, 0)
        await street.clock.advance(street.settings.fresh_s + 1)
        await fresh.say("ping", **street.at(51))
        await fresh.acked(51)
        assert (street.gateway.counts().connections, street.gateway.counts().stale) == (3, 1)
