"""Every limit, time-out and switch of a running engine: one frozen tree, sliced per room.

Times are engine seconds unless a name says otherwise. A settings file is TOML with the same names; an unknown name or a
wrong type is refused with its place.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal

import msgspec

from core.errors import BadFile


class LocationSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The ping path. See "Limits that clients meet" in the contract."""

    ping_interval_s: float = 5.0
    fresh_s: float = 30.0  # a driver silent for longer is not eligible
    min_gap_s: float = 0.5  # pings closer than this are dropped
    max_future_s: float = 30.0
    max_speed_mps: float = 70.0
    ack_every_s: float = 1.0  # wall time: an app must not wait longer for an ack
    tick_s: float = 0.1  # wall time: how often changes reach the store and the trail
    max_frame_bytes: int = 65_536
    max_buffered_pings: int = 1_000  # items in one `pings` message
    max_frames_per_s: float = 50.0  # wall time, per connection: the guard against floods
    flood_burst: int = 200
    max_bad_messages: int = 20  # per connection within a minute; then 1008
    send_queue_bytes: int = 262_144  # a reader slower than this is closed
    idle_timeout_s: float = 90.0  # wall time without any frame
    max_connections: int = 100_000
    raw_ping_retention_s: float = 86_400.0
    trail_queue: int = 200_000  # pings waiting for the durable log


class DispatchSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a request is served."""

    offer_s: float = 12.0
    request_s: float = 120.0
    retry_s: float = 2.0  # between looks when nobody can be offered the trip
    max_rings: int = 6  # of neighbouring segments
    enough_candidates: int = 16
    max_pickup_eta_s: float = 1_200.0
    broadcast_drivers: int = 3
    auto_accept: bool = False  # assign without asking
    seconds_per_idle_minute: float = 2.0  # weights: what a feature is worth in seconds of pickup time
    seconds_per_rating_point: float = 20.0
    seconds_per_acceptance: float = 30.0
    max_open_requests: int = 20_000


class TripSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Trips and their archive."""

    max_code_tries: int = 5
    archive_every_s: float = 43_200.0
    archive_batch: int = 200
    distance_timeout_s: float = 20.0  # wall time for matching one trail
    history_page: int = 50
    history_page_max: int = 200


class FareSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The city's tariff, in minor units."""

    currency: str = "SEK"
    base_minor: int = 4_500
    per_km_minor: int = 1_250
    per_minute_minor: int = 450
    minimum_minor: int = 9_500
    quote_s: float = 300.0
    quote_tolerance: float = 0.2  # the quoted fare holds while the driven distance is within this share of the quoted


class WebSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The HTTP and rider/operator socket edge."""

    host: str = "127.0.0.1"
    port: int = 8000
    gateway_port: int = 8001
    open_console: bool = False  # the page may watch without a token; the demo switches it on
    ticket_s: float = 30.0
    token_s: float = 86_400.0
    cabs_every_s: float = 1.5  # wall time between `cabs` messages
    ops_every_s: float = 1.0  # wall time between operator frames
    max_body_bytes: int = 65_536
    max_watchers: int = 20_000
    code_s: float = 300.0
    code_tries: int = 5
    codes_per_hour: int = 5


class RuntimeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Stores and machinery."""

    sql_busy_timeout_s: float = 10.0
    sql_synchronous: Literal["FULL", "NORMAL"] = "FULL"
    relay_batch: int = 200
    relay_retry_s: float = 1.0
    relay_max_attempts: int = 20
    outbox_keep_s: float = 86_400.0
    idempotency_keep_s: float = 86_400.0
    valkey_start_timeout_s: float = 10.0
    route_workers: int = 1
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole tree."""

    location: LocationSettings = LocationSettings()
    dispatch: DispatchSettings = DispatchSettings()
    trips: TripSettings = TripSettings()
    fares: FareSettings = FareSettings()
    web: WebSettings = WebSettings()
    runtime: RuntimeSettings = RuntimeSettings()


def load_settings(path: Path | None) -> Settings:
    """The defaults, overlaid with a TOML file. Raises BadFile naming the file and the place."""
    if path is None:
        return Settings()
    try:
        tree = tomllib.loads(path.read_text("utf-8"))
        return msgspec.convert(tree, Settings)
    except OSError as error:
        raise BadFile(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise BadFile(f"{path}: {error}") from error
