"""The command line. Exit codes: 0 done, 1 failed, 2 bad usage; results on stdout, everything else on stderr."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from app.roles import ROLES
from app.services import add_arguments
from core.errors import HexcabError
from runtime.home import default_home

# each command's module is imported when it runs, so that `hexcab token` need not wait for the engine's libraries
_COMMANDS = {
    "demo": "app.demo",
    "serve": "app.serve",
    "simulate": "app.simulate",
    "city": "app.city",
    "token": "app.token",
    "archive": "app.archive",
    "db": "app.db",
    "doctor": "app.doctor",
    "services": "app.services",
}


def main(words: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = _parser().parse_args(words)
    logging.getLogger().addHandler(logging.NullHandler())  # what a command has to say on stderr is one line of its own
    try:
        run = importlib.import_module(_COMMANDS[arguments.command]).run
        return int(run(arguments))
    except HexcabError as error:
        print(f"hexcab: {error.detail}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever read our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hexcab", description="A ride-hailing dispatch engine.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _demo(commands.add_parser("demo", help="a running city with simulated drivers and riders"))
    _serve(commands.add_parser("serve", help="run the engine"))
    _simulate(commands.add_parser("simulate", help="replay trips in virtual time"))
    _city(commands.add_parser("city", help="build and list city packs"))
    _token(commands.add_parser("token", help="print a bearer token"))
    archive = commands.add_parser("archive", help="move finished trips to the archive")
    archive.add_argument("action", choices=["run"])
    _data_dir(archive)
    _settings(archive)
    database = commands.add_parser("db", help="the SQL schema")
    database.add_argument("action", choices=["upgrade"])
    _data_dir(database)
    _settings(database)
    doctor = commands.add_parser("doctor", help="look at every engine and say what is wrong")
    doctor.add_argument("--city", default="gothenburg")
    doctor.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    _data_dir(doctor)
    _settings(doctor)
    add_arguments(commands.add_parser("services", help="real servers for this machine: Redis, SQL, Kafka, Cassandra"))
    return parser


def _demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--city", default="gothenburg")
    parser.add_argument("--drivers", type=_whole(1, 20_000), default=200)
    parser.add_argument("--rate", type=_number(0, 100_000), default=400.0, help="ride requests per engine hour")
    parser.add_argument("--speed", type=_number(0.1, 100), default=10.0, help="engine seconds per wall second")
    parser.add_argument("--minutes", type=_number(0.05, 1e6), help="stop after so many wall minutes")
    parser.add_argument("--port", type=_whole(0, 65_535), default=8000)
    parser.add_argument("--data-dir", type=Path, default=default_home() / "demo")
    parser.add_argument("--seed", type=_whole(0, 2**31), default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end and nothing else")


def _serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--city", default="gothenburg")
    parser.add_argument("--port", type=_whole(0, 65_535), help="the API; 8000 if nothing else is set")
    parser.add_argument("--gateway-port", type=_whole(0, 65_535), help="drivers' sockets; the API's port + 1")
    parser.add_argument("--role", choices=["all", *ROLES], default="all", help="what this process does")
    _data_dir(parser)
    _settings(parser)


def _simulate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--city", required=True)
    parser.add_argument("--trips", required=True, help="a parquet or CSV file, or `synthetic`")
    fleet = parser.add_mutually_exclusive_group(required=True)
    fleet.add_argument("--drivers", type=_whole(1, 1_000_000))
    fleet.add_argument("--fleet", type=Path, help="a CSV file with lat, lng or start_node of each driver")
    parser.add_argument("--mode", choices=["best", "broadcast", "batch"], default="best")
    parser.add_argument("--window-s", type=_number(0.1, 3_600), default=2.0, help="of mode batch")
    parser.add_argument(
        "--open-until", choices=["accept", "pickup"], default="accept",
        help="mode batch: pickup lets a request change its cab until it is there, for none later than promised",
    )  # fmt: skip
    parser.add_argument("--reposition", action="store_true", help="mode batch: spread idle cabs by expected demand")
    parser.add_argument("--history", type=Path, help="past trips, to expect demand by; else the run's own past")
    parser.add_argument("--bound", action="store_true", help="work out what hindsight could have reached")
    parser.add_argument("--seed", type=_whole(0, 2**31), default=0)
    parser.add_argument("--max-wait-s", type=_number(1, 86_400), default=600.0)
    parser.add_argument("--out", type=Path, help="a folder for report.json, trips.csv and report.html")
    parser.add_argument("--beside", type=Path, help="the --out of another run: report.html shows both")
    parser.add_argument("--json", action="store_true", help="print the report as JSON and nothing else")


def _city(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = actions.add_parser("add", help="build a city pack from an OpenStreetMap extract or CSV tables")
    add.add_argument("name")
    roads = add.add_mutually_exclusive_group(required=True)
    roads.add_argument("--pbf", type=Path, help="an OpenStreetMap extract")
    roads.add_argument("--nodes", type=Path, help="a CSV table of nodes; with --edges")
    add.set_defaults(misuse=add.error)  # for what argparse cannot say
    add.add_argument("--edges", type=Path, help="a CSV table of edges")
    add.add_argument("--crs", help="the nodes' coordinate system, such as EPSG:32632; else metres on a plane")
    add.add_argument("--zones", type=Path, help="a GeoJSON file of zones")
    add.add_argument("--replace", action="store_true")
    actions.add_parser("list", help="the packs that are there")
    show = actions.add_parser("show", help="what is in a pack")
    show.add_argument("name")


def _token(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("scope", choices=["rider", "driver", "ops"])
    parser.add_argument("--id", help="whom the token names; needed for riders and drivers")
    _data_dir(parser)
    _settings(parser)


def _data_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data-dir", type=Path, default=default_home() / "data")


def _settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--settings", type=Path, help="a TOML file")


class _whole:  # noqa: N801 - reads as a type where argparse wants one
    """A whole number within bounds."""

    def __init__(self, low: int, high: int) -> None:
        self._low, self._high = low, high

    def __call__(self, text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if not self._low <= value <= self._high:
            raise argparse.ArgumentTypeError(f"{text} is not between {self._low} and {self._high}")
        return value


class _number:  # noqa: N801 - reads as a type where argparse wants one
    """A number within bounds."""

    def __init__(self, low: float, high: float) -> None:
        self._low, self._high = low, high

    def __call__(self, text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
        if not self._low <= value <= self._high:  # NaN fails this too
            raise argparse.ArgumentTypeError(f"{text} is not between {self._low:g} and {self._high:g}")
        return value


if __name__ == "__main__":
    sys.exit(main())
