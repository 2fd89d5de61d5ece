"""`hexcab city`: build, list and show city packs."""

from __future__ import annotations

import argparse

import msgspec
from rich.console import Console
from rich.table import Table

from app.progress import progress
from maps.cities import CityBuild, build_city
from maps.cityinfo import CityInfo, list_cities, show_city
from maps.csvroads import CsvTables
from runtime.home import default_home


def run(arguments: argparse.Namespace) -> int:
    """Do the action."""
    if arguments.action == "add":
        with progress(f"building {arguments.name}") as report:
            info = build_city(_asked(arguments), report)
        _show(info)
    elif arguments.action == "show":
        _show(show_city(arguments.name, default_home()))
    else:
        _list(list_cities(default_home()))
    return 0


def _asked(arguments: argparse.Namespace) -> CityBuild:
    nodes, edges, crs = arguments.nodes, arguments.edges, arguments.crs
    if (nodes is None) != (edges is None):
        arguments.misuse("--nodes and --edges belong together")
    if crs is not None and nodes is None:
        arguments.misuse("--crs belongs to --nodes: an extract is in degrees")
    roads = arguments.pbf if nodes is None else CsvTables(nodes, edges, crs)
    return CityBuild(arguments.name, roads, default_home(), arguments.replace, arguments.zones)


def _show(info: CityInfo) -> None:
    for name, value in msgspec.structs.asdict(info).items():
        if value not in ("", None):
            print(f"{name}: {value}")


def _list(cities: list[CityInfo]) -> None:
    if not cities:
        print("no city packs yet; `hexcab demo` builds gothenburg")
        return
    table = Table(*CityInfo.__struct_fields__[:5], box=None, pad_edge=False)
    for info in cities:
        table.add_row(*(str(value) for value in msgspec.structs.astuple(info)[:5]))
    Console().print(table)
