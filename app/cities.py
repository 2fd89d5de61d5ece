"""City packs for commands: load one, and build the bundled one where it is missing."""

from __future__ import annotations

from pathlib import Path

from app.progress import progress
from cities import BUNDLED, bundled_pbf
from core.errors import BadFile, NotFound
from maps.cities import City, CityBuild, build_city, load_city


def ready_city(name: str, home: Path, *, quiet: bool = False) -> City:
    """A loaded city. The bundled one is built at its first use, and again when its pack is damaged or out of date.

    Raises NotFound for any other that is missing and BadFile for one that cannot be used.
    """
    try:
        return load_city(name, home)
    except (NotFound, BadFile) as error:
        if name != BUNDLED:
            raise type(error)(f"{error.detail}; build it with: hexcab city add {name} --pbf FILE --replace") from error
    with progress(f"building {name}", quiet) as report:
        build_city(CityBuild(name, bundled_pbf(), home, replace=True), report)
    return load_city(name, home)
