"""How many cores the design load needs, from the kept results: the table in docs/OPERATIONS.md.

The design load is 14 million rides a day, at peak 500 requests a second, and 5 million drivers online who send a ping
every 5 s.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.harness import Result

PINGS_PER_S = 1_000_000.0
REQUESTS_PER_S = 500.0
SEARCH_S = 30.0  # that a search is open on average: until an offer is accepted
BUSY = 0.6  # of a core, at most, so that a host that is lost can be borne

START, END = "<!-- capacity -->\n", "<!-- end of capacity -->\n"


@dataclass(frozen=True)
class Part:
    """One kind of work: which figure says what it costs, and how much of it the design load is."""

    what: str
    benchmark: str
    figure: str
    per_core: float  # divided by the figure gives the work of a core and second; 0: the figure is that already
    load: float
    unit: str


PARTS = (
    Part("gateway: pings (JSON)", "ingest", "gateway_json_pings_per_cpu_s", 0, PINGS_PER_S, "pings/s"),
    Part("edge: bookings", "book", "edge_engine_cpu_us", 1e6, REQUESTS_PER_S, "requests/s"),
    Part("PostgreSQL: bookings", "book", "edge_postgres_cpu_us", 1e6, REQUESTS_PER_S, "requests/s"),
    Part("dispatch: a booking's first look", "searches", "booking_cpu_ms", 1e3, REQUESTS_PER_S, "requests/s"),
    Part(
        "dispatch: searches that wait",
        "searches",
        "engine_us_per_search_s",
        1e6,
        REQUESTS_PER_S * SEARCH_S,
        "open searches",
    ),
)


def table(results: Sequence[Result]) -> str:
    """The table as Markdown, with the lines that begin and end it. Raises KeyError for a figure that was not kept."""
    figures: Mapping[str, Mapping[str, float]] = {result.name: result.figures for result in results}
    lines = ["| work | a core does | the design load | cores at 60 % | measured by |", "|---|---:|---:|---:|---|"]
    for part in PARTS:
        figure = figures[part.benchmark][part.figure]
        rate = part.per_core / figure if part.per_core else figure
        cores = math.ceil(part.load / (rate * BUSY))
        lines.append(
            f"| {part.what} | {rate:,.0f} {part.unit} | {part.load:,.0f} | {cores} | `{part.benchmark}` {part.figure} |"
        )
    return START + "\n".join(lines) + "\n" + END


def placed(text: str, results: Sequence[Result]) -> str:
    """The page with the table of these results in its place. Raises ValueError where it has no place for it."""
    before, found, rest = text.partition(START)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise ValueError("the page has no place for the capacity table")
    return before + table(results) + after
