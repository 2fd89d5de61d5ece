"""What a gateway works with."""

from __future__ import annotations

from dataclasses import dataclass

from core.clock import Clock
from location.intake import everywhere
from location.ports import Authorize, CellRules, DriverDesk, Inside, Roll, SegmentOf, TrailLog, UseTicket
from location.queues import QueueParts
from location.supply import Supply
from runtime.settings import LocationSettings


@dataclass(frozen=True, slots=True)
class GatewayParts:
    """Everything that a gateway is given."""

    authorize: Authorize
    desk: DriverDesk
    supply: Supply
    trail: TrailLog
    clock: Clock
    settings: LocationSettings
    segment_of: SegmentOf
    inside: Inside = everywhere
    cells: CellRules | None = None  # None: segment_of and inside are asked about every ping
    use_ticket: UseTicket | None = None  # None: whoever authorizes uses a ticket up by looking at it
    queues: QueueParts | None = None  # None: there are no airport queues
    roll: Roll | None = None  # None: this host is the only one
