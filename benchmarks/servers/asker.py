"""The floor of waiting searches: what their questions cost once, when one client asks for all of them.

    python -m benchmarks.servers.asker SOCKET DATABASE PERIOD_S

Each period it asks Redis for every segment of the town's neighbourhoods in one pipeline, and SQL for the open requests:
nothing is decided, and nobody is told. Prints its process id.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import time

import h3.api.basic_int as h3
import redis.asyncio
import uvloop

from benchmarks.servers.searches import TOWN
from location import keys
from maps import segments
from maps.knownsegments import KnownSegments
from runtime.segment_settings import SegmentSettings
from runtime.settings import DispatchSettings

_OPEN = "SELECT request_id, segment, status FROM ride_requests WHERE status IN ('searching', 'offered')"


def town_segments() -> list[int]:
    """Every segment that a search in the town may look at."""
    south, west, north, east = TOWN
    box = h3.LatLngPoly([(south, west), (north, west), (north, east), (south, east)])
    inside = h3.h3shape_to_cells(box, segments.BASE_RESOLUTION)
    known, most_m = KnownSegments(SegmentSettings(), time.monotonic), DispatchSettings().max_pickup_m
    return sorted({cell for each in inside for cell in known.around(each, most_m).cells.tolist()})


async def ask(socket: str, database: str, period_s: float) -> None:
    """Ask until killed."""
    wanted = [keys.rows(each) for each in town_segments()]
    client = redis.asyncio.Redis(unix_socket_path=socket)
    rows = sqlite3.connect(database)
    print(os.getpid(), flush=True)
    while True:
        pipe = client.pipeline(transaction=False)
        for key in wanted:
            pipe.hgetall(key)
        await pipe.execute()
        rows.execute(_OPEN).fetchall()
        await asyncio.sleep(period_s)


if __name__ == "__main__":
    uvloop.run(ask(sys.argv[1], sys.argv[2], float(sys.argv[3])))
