"""An engine in the edge's role alone: it takes bookings, and leaves searches, drivers and events to other processes.

    python -m benchmarks.servers.edge --city CITY --data-dir DIR --port N --gateway-port N --settings FILE

`hexcab serve --role edge` asks for every store of a cluster. Here the settings name those that a booking is written to,
and the others are the embedded ones.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import uvloop

from app.cities import ready_city
from app.serve import serve, with_ports
from app.stores import Start
from runtime.clocks import WallClock
from runtime.datadir import DataDir
from runtime.settings import load_settings
from runtime.telemetry import log_to


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--city", required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--gateway-port", type=int, required=True)
    parser.add_argument("--settings", type=Path, required=True)
    words = parser.parse_args()
    settings = with_ports(load_settings(words.settings), words.port, words.gateway_port)
    log_to(sys.stderr, settings.runtime.log_level)
    with DataDir(words.data_dir) as data:
        city = ready_city(words.city, settings.maps)
        uvloop.run(serve(Start(city, data, settings, WallClock(), frozenset({"edge"}))))


if __name__ == "__main__":
    main()
