"""What the gateway counts for the metrics."""

from __future__ import annotations

from dataclasses import dataclass


class Traffic:
    """Running totals over all connections, written by them."""

    __slots__ = ("bad_messages", "bytes_in", "bytes_out", "closed", "frames_in", "frames_out", "refused_handshakes")

    def __init__(self) -> None:
        self.frames_in = 0
        self.bytes_in = 0
        self.frames_out = 0
        self.bytes_out = 0
        self.bad_messages = 0
        self.refused_handshakes = 0
        self.closed: dict[int, int] = {}


@dataclass(frozen=True, slots=True)
class Counts:
    """Totals since the start, and the present connections."""

    connections: int
    stale: int  # of them: open for work, without a ping that is fresh
    pings_accepted: int
    pings_dropped: dict[str, int]  # by reason
    pings_waiting: int  # for the trail log
    pings_logged: int
    idle_pings_lost: int  # not logged, as the queue was full
    trip_pings_refused: int  # not taken and so not acknowledged, as the queue was full
    trail_away: bool  # the trail log did not take the last append
    frames_in: int
    bytes_in: int
    frames_out: int
    bytes_out: int
    bad_messages: int
    refused_handshakes: int
    closed: dict[int, int]  # by close code, where we closed
