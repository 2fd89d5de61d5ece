"""`hexcab services up|down|status`: real servers for this machine, without Docker."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from runtime.services.kinds import NAMES
from runtime.services.manager import Services, ServiceStatus
from runtime.services.places import default_folder
from runtime.services.settings_file import write_settings
from runtime.services_settings import ServicesSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What stands behind `hexcab services`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    up = actions.add_parser("up", help="start what does not run, on the data and the ports it had")
    down = actions.add_parser("down", help="stop what runs; the data stays")
    status = actions.add_parser("status", help="ask every server")
    for each in (up, down, status):
        each.add_argument("names", nargs="*", metavar="NAME", type=_name, help=f"of {', '.join(NAMES)}")
        each.add_argument("--dir", type=Path, default=default_folder(), help="where data, logs and passwords are kept")
        each.add_argument("--json", action="store_true", help="print the status as JSON and nothing else")
    defaults = ServicesSettings()
    up.add_argument("--nodes", type=int, choices=range(1, defaults.max_nodes + 1), help="of a new Kafka or Cassandra")
    up.add_argument("--settings", type=Path, help="write a settings file that points an engine at what runs")
    up.add_argument("--kafka-heap-mb", type=_heap, default=defaults.kafka_heap_mb)
    up.add_argument("--cassandra-heap-mb", type=_heap, default=defaults.cassandra_heap_mb)


def run(arguments: argparse.Namespace) -> int:
    """Do it, and print how the named services, or all of them, are then."""
    names = arguments.names or NAMES
    if arguments.action == "up":
        heaps = {"kafka_heap_mb": arguments.kafka_heap_mb, "cassandra_heap_mb": arguments.cassandra_heap_mb}
        services = Services(arguments.dir, msgspec.structs.replace(ServicesSettings(), **heaps))
        services.up(names, arguments.nodes, _say)
        if arguments.settings:
            write_settings(services, names, arguments.settings)
            _say(f"an engine uses them with: hexcab serve --settings {arguments.settings}")
    else:
        services = Services(arguments.dir)
        if arguments.action == "down":
            services.down(names, _say)
    found = services.status(names)
    print(msgspec.json.encode(found).decode() if arguments.json else _table(found))
    return 0


def _table(found: Mapping[str, ServiceStatus]) -> str:
    rows = [("name", "", "version", "address")]
    for name, each in found.items():
        state = "up" if each.up else "down" if each.address else "never set up here"
        rows.append((name, state, each.version or "", (each.address or "").replace(",", " ")))
    widths = [max(len(row[at]) for row in rows) for at in range(3)]
    return "\n".join("  ".join((*map(str.ljust, row, widths), row[3])).rstrip() for row in rows)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")  # in one piece: several start at the same time
    sys.stderr.flush()


def _name(text: str) -> str:
    if text not in NAMES:
        raise argparse.ArgumentTypeError(f"no service is called {text}; there are {', '.join(NAMES)}")
    return text


def _heap(text: str) -> int:
    if not text.isdigit() or not 128 <= int(text) <= 65_536:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of MB between 128 and 65536")
    return int(text)
