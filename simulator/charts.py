"""Charts as inline SVG: lines, stacked bars, hexagons on a map. Colours are classes of the page's style."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 480, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 10, 40
_SHADES = 6  # of the map


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis: what it says, and where it ends; it begins at 0."""

    label: str
    most: float


@dataclass(frozen=True, slots=True)
class Series:
    """Values with a name; lines have an x for each."""

    name: str
    y: Sequence[float]
    x: Sequence[float] = ()


def ticks(most: float) -> list[float]:
    """Round numbers from 0 to `most`, three to six of them."""
    if not most > 0:
        return [0.0]
    rough = most / 5
    power = 10 ** math.floor(math.log10(rough))
    step = next(unit * power for unit in (1, 2, 2.5, 5, 10) if unit * power >= rough * 0.999)
    return [step * n for n in range(int(most / step + 1e-9) + 1)]


def line_chart(x: Axis, y: Axis, series: Sequence[Series], *, diagonal: bool = False) -> str:
    """Lines over each other; with `diagonal` a dashed one from corner to corner."""
    parts = [_frame(x, y)]
    if diagonal:
        parts.append(_path([(0, 0), (x.most, y.most)], x, y, "diagonal"))
    for number, each in enumerate(series):
        parts.append(_path(list(zip(each.x, each.y, strict=True)), x, y, f"line s{number}"))
    return _svg(parts, _legend(series, "s") if len(series) > 1 else "")


def stack_chart(x: Axis, y: Axis, layers: Sequence[Series]) -> str:
    """Bars side by side from 0 to the end of the axis, their layers upon each other, the first at the bottom."""
    count = len(layers[0].y)
    width, below = x.most / max(count, 1), [0.0] * count
    parts = [_frame(x, y)]
    for number, layer in enumerate(layers):
        for place, value in enumerate(layer.y):
            if value > 0:
                left, right = _x(place * width, x), _x((place + 1) * width, x)
                top, bottom = _y(below[place] + value, y), _y(below[place], y)
                box = f'x="{left:.1f}" y="{top:.1f}" width="{right - left + 0.2:.1f}" height="{bottom - top:.1f}"'
                parts.append(f'<rect class="l{number}" {box}/>')
            below[place] += value
    return _svg(parts, _legend(layers, "l"))


def hexagon_map(cells: Sequence[tuple[Sequence[tuple[float, float]], int, int]], what: str, most: int) -> str:
    """Cells as (corners in degrees, how many, of how many), with a tooltip each; `most` are the darkest."""
    if not cells:
        return '<p class="none">No requests.</p>'
    lat = [corner[0] for corners, _, _ in cells for corner in corners]
    lng = [corner[1] for corners, _, _ in cells for corner in corners]
    south, north, west, east = min(lat), max(lat), min(lng), max(lng)
    shrink = math.cos(math.radians((south + north) / 2))
    scale = min(WIDTH / max((east - west) * shrink, 1e-9), (HEIGHT + 60) / max(north - south, 1e-9))
    parts = []
    for corners, count, of in cells:
        at = " ".join(f"{(y - west) * shrink * scale:.1f},{(north - x) * scale:.1f}" for x, y in corners)
        shade = 0 if count == 0 else 1 + min(_SHADES - 2, int((_SHADES - 1) * (count - 1) / most))
        parts.append(f'<polygon class="h{shade}" points="{at}"><title>{count} of {of} {what}</title></polygon>')
    size = f"{(east - west) * shrink * scale:.0f} {(north - south) * scale:.0f}"
    told = (
        f'<p class="legend"><span class="key h0"></span>none <span class="key h{_SHADES - 1}"></span>{most} {what}</p>'
    )
    return f'<svg viewBox="0 0 {size}" role="img">{"".join(parts)}</svg>{told}'


def _frame(x: Axis, y: Axis) -> str:
    parts = []
    for value in ticks(y.most):
        at = f"{_y(value, y):.1f}"
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{at}" y2="{at}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{at}" class="y">{value:,.4g}</text>')
    under = HEIGHT - _BOTTOM + 16
    parts += [f'<text x="{_x(value, x):.1f}" y="{under}" class="x">{value:,.4g}</text>' for value in ticks(x.most)]
    middle = (_LEFT + WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 4}" class="x">{html.escape(x.label)}</text>')
    up = f"translate(12 {(_TOP + HEIGHT - _BOTTOM) / 2}) rotate(-90)"
    parts.append(f'<text transform="{up}" class="x">{html.escape(y.label)}</text>')
    return "".join(parts)


def _path(points: Sequence[tuple[float, float]], x: Axis, y: Axis, name: str) -> str:
    at = " ".join(f"{_x(a, x):.1f},{_y(b, y):.1f}" for a, b in points)
    return f'<polyline class="{name}" points="{at}"/>'


def _x(value: float, axis: Axis) -> float:
    return _LEFT + (WIDTH - _LEFT - _RIGHT) * value / (axis.most or 1.0)


def _y(value: float, axis: Axis) -> float:
    return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * value / (axis.most or 1.0)


def _legend(series: Sequence[Series], kind: str) -> str:
    keys = [f'<span class="key {kind}{number}"></span>{html.escape(each.name)}' for number, each in enumerate(series)]
    return f'<p class="legend">{" ".join(keys)}</p>'


def _svg(parts: Sequence[str], legend: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{"".join(parts)}</svg>{legend}'
