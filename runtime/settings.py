"""Every limit, time-out and switch of a running engine: one frozen tree, sliced per room.

Times are engine seconds unless a name says otherwise. A settings file is TOML with the same names; an unknown name or a
wrong type is refused with its place.
"""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from core.errors import BadFile
from runtime.batch_settings import BatchSettings
from runtime.cassandra_settings import CassandraSettings
from runtime.doctor_settings import DoctorSettings
from runtime.driven_settings import DrivenSettings
from runtime.explain_settings import ExplainSettings
from runtime.host_settings import HostSettings, Port
from runtime.kafka_settings import KafkaSettings
from runtime.redis_settings import RedisSettings
from runtime.segment_settings import SegmentSettings
from runtime.services_settings import ServicesSettings
from runtime.simulator_settings import SimulatorSettings
from runtime.sqlsettings import SqlSettings
from runtime.traffic_settings import TrafficSettings


class LocationSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The ping path. See "Limits that clients meet" in the contract."""

    ping_interval_s: float = 5.0
    fresh_s: float = 30.0  # a driver silent for longer is not eligible
    min_gap_s: float = 0.5  # pings closer than this are dropped
    max_future_s: float = 30.0
    max_speed_mps: float = 70.0
    ack_every_s: float = 1.0  # wall time: an app must not wait longer for an ack
    tick_s: float = 0.1  # wall time: how often changes reach the store and the trail
    position_every_s: float = 12.0  # a driver who stays in a segment is placed anew in the store no more often
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
    trail_batch: int = 5_000  # pings in one append to the durable log
    keep_idle_pings: bool = True  # pings without a trip go to the log too, until retention removes them
    idle_trail_s: float = 1.0  # wall time that pings without a trip may wait for the log
    trail_retry_s: float = 1.0  # wall time between tries while the durable log is away
    complete_wait_s: float = 2.0  # wall time that the end of a trip waits for the log to take its pings
    last_position_wait_s: float = 1.0  # wall time that a welcome waits for the log's last position of the driver
    purge_every_s: float = 600.0
    queue_exit_pings: int = 3  # in a row outside an airport queue's zone, until the driver's place is lost
    queue_keep_s: float = 600.0  # a driver silent for longer loses the place in an airport queue
    queue_tick_s: float = 1.0  # wall time between writes of the places in airport queues, and telling them
    queue_batch: int = 1_000  # drivers of whom a tick finds earlier places; and places that drivers are told of
    expire_every_s: float = 1.0  # how often silent drivers are taken out of the supply
    max_commands: int = 32  # of one driver, waiting for their turn
    close_grace_s: float = 1.0  # wall time for a client to answer a close before it is cut off


class DispatchSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a request is served."""

    offer_s: float = 12.0
    request_s: float = 120.0
    retry_s: float = 2.0  # between looks when nobody can be offered the trip
    arrivals_s: float = 1.0  # between readings of who has come near the searches that found nobody; not above retry_s
    arrivals_at_once: int = 32  # searches that look at the same time when somebody has come near
    arrivals_turn_s: float = 0.5  # wall time that the next searches wait for those to finish their look
    look_again_s: float = 30.0  # between looks when all near cannot take it: too far, holding an offer, asked before
    supply_asks: int = 512  # that one reading of the supply answers
    claim_timeout_s: float = 0.25  # wall time for an answer of the claims that workers share
    claim_pause_s: float = 1.0  # wall time that they are left alone after they did not answer
    busy_shown_s: float = 6.0  # after an accept; by then the supply shows that the driver has a trip
    max_pickup_m: float = 15_000.0  # by air, how far a cab may be: more than it drives in max_pickup_eta_s in a town
    enough_candidates: int = 16
    max_pickup_eta_s: float = 1_200.0
    broadcast_drivers: int = 3  # who are asked at once
    wave_s: float = 6.0  # then as many more, while nobody has accepted
    parallel_offers: int = 6  # of one request at most; a driver has one at most
    cool_down_s: float = 5.0  # that a driver who declined, or let an offer run out, is left alone by all searches
    auto_accept: bool = False  # assign without asking
    seconds_per_idle_minute: float = 2.0  # weights: what a feature is worth in seconds of pickup time
    seconds_per_rating_point: float = 20.0
    seconds_per_acceptance: float = 30.0
    idle_cap_min: float = 30.0  # idling longer than this is worth no more
    unknown_rating: float = 4.7  # the city's mean, for drivers whom nobody has rated
    unknown_acceptance: float = 0.8  # the city's mean, for drivers who have not answered an offer
    acceptance_window: int = 50  # answered offers that count
    profile_cache_s: float = 30.0
    profile_cache_max: int = 50_000
    queue_heads: int = 16  # drivers of an airport queue who are looked at for a pickup there
    near_m: float = 1_000.0  # by air; who is nearer is a candidate even when there are enough
    max_looks: int = 3  # looks in a row when the chosen drivers were taken meanwhile
    delivery_timeout_s: float = 2.0  # wall time for handing one offer to a driver's gateway
    quote_slack_m: float = 100.0  # how far a request's places may lie from those of its quote
    max_reason_length: int = 200
    close_timeout_s: float = 5.0  # wall time for searches to finish their step when the engine stops
    max_open_requests: int = 20_000
    look_every_s: float = 1.0  # wall time between looks in SQL for searches that no event has told of


class TripSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Trips and their archive."""

    max_code_tries: int = 5
    archive_every_s: float = 43_200.0
    archive_retry_s: float = 300.0  # after a run that failed, as when the archive is away
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
    quote_keep_s: float = 86_400.0  # expired quotes are kept this long: a search may outlive its quote
    quote_tolerance: float = 0.2  # the quoted fare holds while the driven distance is within this share of the quoted


class WebSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The HTTP and rider/operator socket edge."""

    host: str = "127.0.0.1"
    port: Port = 8000
    gateway_port: Port = 8001
    open_console: bool = False  # the page may watch without a token; the demo switches it on
    ticket_s: float = 30.0
    token_s: float = 86_400.0
    cabs_every_s: float = 1.5  # wall time between `cabs` messages
    ops_every_s: float = 1.0  # wall time between operator frames
    max_body_bytes: int = 65_536
    max_watchers: int = 20_000
    matrix_places: int = 500  # sources, and targets, of one matrix
    matrix_pairs: int = 10_000  # of them
    isochrone_minutes: float = 60.0  # that one may be asked for
    trip_every_s: float = 2.0  # between `trip` messages with the driver's position
    trip_gap_s: float = 0.5  # wall time: and never closer than this, however fast the clock runs
    recent_request_s: float = 600.0  # how long a rider who comes back hears of a search that ended meanwhile
    socket_queue: int = 64  # messages waiting for one socket; a reader slower than this is closed
    max_frames_per_s: float = 20.0  # wall time, per rider or operator socket
    flood_burst: int = 60
    max_bad_messages: int = 20  # per socket within a minute; then 1008
    code_s: float = 300.0
    code_tries: int = 5
    codes_per_hour: int = 5


class MapSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Roads and the route workers. Times are wall seconds: they bound real work, not engine events."""

    snap_m: float = 250.0  # a point farther than this from every road is not on the road
    service_margin_m: float = 500.0  # how far the service area reaches beyond the outermost roads
    build_timeout_s: float = 3_600.0
    route_timeout_s: float = 10.0  # one question; a worker that takes longer is replaced
    route_start_timeout_s: float = 30.0
    route_queue: int = 256  # questions waiting for a worker; more are refused
    route_wait_s: float = 30.0  # that one waits for a worker
    route_worker_rss_mb: int = 1_500  # a worker that grew beyond this is replaced between questions
    route_answer_bytes: int = 16_777_216
    match_points: int = 8_000  # a longer trail is thinned before it is matched
    match_radius_m: float = 50.0  # how far from a ping its road may be
    match_accuracy_m: float = 8.0  # expected error of a ping
    match_break_m: float = 2_000.0  # a gap between pings longer than this is not bridged by a road
    zones_max: int = 500  # of a city
    zone_vertices: int = 5_000  # of one zone
    zone_pickup_points: int = 20  # of one no-pickup zone
    zone_max_surge: float = 10.0
    zone_file_bytes: int = 33_554_432
    csv_rows_max: int = 5_000_000  # of a table that a city is built from
    zones_look_s: float = 2.0  # between looks in SQL for zones that operators have changed
    closure_snap_m: float = 20.0  # how far beside a street the line that closes it may be drawn
    roads_look_s: float = 5.0  # between looks in SQL for closures and learned times


class RuntimeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Stores and machinery."""

    relay_batch: int = 200  # rows of one read or one mark
    relay_window: int = 256  # events that one consumer group may have in hand; it reads no further meanwhile
    relay_lanes: int = 16  # rides whose events one group handles at the same time
    relay_retry_s: float = 1.0  # wall time before the second try of an event; doubles with each try
    relay_max_retry_s: float = 30.0  # wall time between tries at most
    relay_max_attempts: int = 20  # that failed unexpectedly; waiting for what is Unavailable never counts
    dead_letter_chars: int = 50_000  # of a dead letter's event, key and error each, so that Kafka takes it whole
    relay_mark_s: float = 0.05  # wall time that handled rows wait to be marked together
    relay_look_s: float = 0.05  # wall time between looks for rows that another process wrote
    relay_holes: int = 2_000  # numbers of rows that others may be about to commit, which are looked for
    relay_late_s: float = 60.0  # wall time that they are looked for: longer than a transaction can live
    relay_sweep_s: float = 5.0  # wall time between looks for rows that nobody has in hand
    relay_count_max: int = 100_000  # of waiting rows, for the gauge
    outbox_keep_s: float = 86_400.0
    idempotency_keep_s: float = 86_400.0
    purge_batch: int = 1_000  # rows that one transaction forgets
    valkey_start_timeout_s: float = 10.0
    route_workers: int = 1
    clock_speed: float = 1.0  # engine seconds per wall second; above 1 for demos and tests
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class Geography(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One cluster of a deployment, with stores of its own: where it is, and how apps reach it."""

    name: str
    lat: Annotated[float, msgspec.Meta(ge=-90, le=90)]
    lng: Annotated[float, msgspec.Meta(ge=-180, le=180)]
    api_url: str  # https://...
    gateway_url: str  # wss://.../v1/driver/ws


class ClusterSettings(HostSettings, frozen=True, forbid_unknown_fields=True):
    """This host among the others of its cluster."""

    key_file: str = ""  # the key that signs tokens, the same on every host; empty: server.key in the data directory
    leave_s: float = 2.0  # wall time between saying on /readyz that this host stops, and stopping
    gateway_url: str = ""  # what apps are told; empty: the host of the call and the gateway's port
    geographies: tuple[Geography, ...] = ()  # all of the deployment, this one included
    probe_every_s: float = 2.0  # wall time between looks at the geographies
    probe_timeout_s: float = 1.0  # wall time for one of them to answer


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole tree."""

    location: LocationSettings = LocationSettings()
    dispatch: DispatchSettings = DispatchSettings()
    batch: BatchSettings = BatchSettings()
    trips: TripSettings = TripSettings()
    fares: FareSettings = FareSettings()
    web: WebSettings = WebSettings()
    maps: MapSettings = MapSettings()
    traffic: TrafficSettings = TrafficSettings()
    driven: DrivenSettings = DrivenSettings()
    explain: ExplainSettings = ExplainSettings()
    segments: SegmentSettings = SegmentSettings()
    simulator: SimulatorSettings = SimulatorSettings()
    runtime: RuntimeSettings = RuntimeSettings()
    sql: SqlSettings = SqlSettings()
    redis: RedisSettings = RedisSettings()
    kafka: KafkaSettings = KafkaSettings()
    cassandra: CassandraSettings = CassandraSettings()
    cluster: ClusterSettings = ClusterSettings()
    services: ServicesSettings = ServicesSettings()
    doctor: DoctorSettings = DoctorSettings()


# every other number is a limit, a time or a size, which nothing could work with at 0
_MAY_BE_ZERO = frozenset(
    {
        *("port", "gateway_port", "host_port", "idle_cap_min", "unknown_acceptance", "service_margin_m"),
        *("seconds_per_idle_minute", "seconds_per_rating_point", "seconds_per_acceptance", "quote_tolerance"),
        *("left_per_waited_s", "above_open", "cool_down_s", "looks"),
        *("base_minor", "per_km_minor", "per_minute_minor", "minimum_minor"),
    }
)


def load_settings(path: Path | None) -> Settings:
    """The defaults, overlaid with a TOML file. Raises BadFile naming the file and the place."""
    if path is None:
        return Settings()
    try:
        tree = tomllib.loads(path.read_text("utf-8"))
        return _checked(msgspec.convert(tree, Settings))
    except OSError as error:
        raise BadFile(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise BadFile(f"{path}: {error}") from error


def _checked(settings: Settings) -> Settings:
    """Raises ValidationError for the first number that is not finite, negative, or zero where that makes no sense."""
    for room, values in msgspec.to_builtins(settings).items():
        for name, value in values.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            big_enough = value > 0 or (value == 0 and name in _MAY_BE_ZERO)
            if not (math.isfinite(value) and big_enough):
                wanted = "not negative" if name in _MAY_BE_ZERO else "greater than 0"
                raise msgspec.ValidationError(f"Expected a number that is {wanted}, got {value} - at `$.{room}.{name}`")
    return settings
