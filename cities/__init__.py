"""The bundled city: central Gothenburg as an OpenStreetMap extract. Where it comes from is in README.md."""

from __future__ import annotations

from pathlib import Path

BUNDLED = "gothenburg"


def bundled_pbf() -> Path:
    """The path of the extract that `hexcab demo` builds its city pack from."""
    return Path(__file__).with_name("gothenburg.osm.pbf")
