"""A town small enough to know by heart, written as an OpenStreetMap extract."""

from __future__ import annotations

from pathlib import Path

from cities.make_gothenburg import Extract, Tags, write_pbf

CORNERS = 5  # streets each way
_SOUTH, _WEST, _STEP = 57.70, 11.95, 0.002


def corner(row: int, column: int) -> tuple[float, float]:
    """The lng, lat of a crossing of the town's grid."""
    return round(_WEST + _STEP * column, 7), round(_SOUTH + _STEP * row, 7)


def town(*, highway: str = "residential") -> Extract:
    """A grid of two-way streets, each between two crossings, and around it:

    a one-way loop with a bend north of the grid, a path for walkers, and an island that no road leads to.
    """
    numbers = {corner(row, column): 1 + row * CORNERS + column for row in range(CORNERS) for column in range(CORNERS)}
    nodes = list(numbers)
    ways: list[tuple[int, list[int], Tags]] = []

    def road(refs: list[int], **tags: str) -> None:
        ways.append((len(ways) + 1, refs, {"highway": highway, **tags}))

    for row in range(CORNERS):
        for column in range(CORNERS):
            here = numbers[corner(row, column)]
            if column + 1 < CORNERS:
                road([here, here + 1], name=f"Row {row}", maxspeed="40")
            if row + 1 < CORNERS:
                road([here, here + CORNERS], name=f"Column {column}", maxspeed="50")
    north_west, north_east = numbers[corner(CORNERS - 1, 0)], numbers[corner(CORNERS - 1, CORNERS - 1)]
    nodes.append((round(_WEST + _STEP, 7), round(_SOUTH + _STEP * (CORNERS + 1), 7)))
    road([north_west, len(nodes), north_east], name="Northern Loop", oneway="yes", maxspeed="60")
    nodes.extend([(_WEST - 0.01, _SOUTH), (_WEST - 0.01, _SOUTH + 0.01)])
    ways.append((len(ways) + 1, [1, len(nodes)], {"highway": "footway"}))
    nodes.extend([(_WEST + 0.05, _SOUTH), (_WEST + 0.05, _SOUTH + 0.01)])
    road([len(nodes) - 1, len(nodes)], name="Island Road")
    return Extract(nodes, ways)


def write_town(folder: Path, name: str = "town.osm.pbf", *, highway: str = "residential") -> Path:
    """The town's extract as a file."""
    path = folder / name
    write_pbf(town(highway=highway), path)
    return path
