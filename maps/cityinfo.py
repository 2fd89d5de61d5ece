"""What is known of city packs without loading them: a list, and one of them."""

from __future__ import annotations

from pathlib import Path

import msgspec

from core.errors import BadFile
from maps.packs import Manifest, current_version, pack_names, read_manifest


class CityInfo(msgspec.Struct, frozen=True):
    """What `hexcab city list` and `show` tell; `problem` says why a pack cannot be used, "" when it can.

    `valhalla` is the version of its tiles, "none" for a pack that has none.
    """

    name: str
    fingerprint: str = ""
    source: str = ""
    nodes: int = 0
    edges: int = 0
    road_km: float = 0.0
    connected_pct: float = 0.0
    bounds: tuple[float, float, float, float] | None = None  # south, west, north, east
    valhalla: str = ""
    size_mb: float = 0.0
    problem: str = ""


def list_cities(home: Path) -> list[CityInfo]:
    """Every city that has a pack, by name, the damaged ones with their problem."""
    found = []
    for name in pack_names(home):
        try:
            found.append(show_city(name, home))
        except BadFile as error:
            found.append(CityInfo(name=name, problem=error.detail))
    return found


def show_city(name: str, home: Path) -> CityInfo:
    """What a city's pack holds. Raises NotFound, and BadFile when its manifest is damaged."""
    return info_of(read_manifest(current_version(name, home)))


def info_of(manifest: Manifest) -> CityInfo:
    """What a pack with this manifest holds."""
    return CityInfo(
        name=manifest.name,
        fingerprint=manifest.fingerprint,
        source=manifest.source,
        nodes=manifest.nodes,
        edges=manifest.edges,
        road_km=manifest.road_km,
        connected_pct=round(100 * manifest.connected_share, 2),
        bounds=manifest.bounds,
        valhalla=manifest.valhalla or "none",
        size_mb=round(sum(file.size_bytes for file in manifest.files.values()) / 1e6, 1),
    )
