"""City packs for commands: load one, and build the bundled one where it is missing."""

from __future__ import annotations

from app.progress import progress
from cities import BUNDLED, bundled_pbf
from core.errors import BadFile, NotFound
from maps.cities import City, CityBuild, build_city, load_city
from maps.packs import alone
from runtime.home import default_home
from runtime.settings import MapSettings


def ready_city(name: str, settings: MapSettings, *, quiet: bool = False) -> City:
    """A loaded city. The bundled one is built at its first use, and again when its pack is damaged or out of date.

    Raises NotFound for any other that is missing and BadFile for one that cannot be used.
    """
    packs = default_home()
    try:
        return load_city(name, packs, settings)
    except (NotFound, BadFile) as error:
        if name != BUNDLED:
            raise type(error)(f"{error.detail}; build it with: hexcab city add {name} --pbf FILE --replace") from error
    with alone(packs, name):  # several processes that start together build it once
        try:
            return load_city(name, packs, settings)
        except (NotFound, BadFile):
            with progress(f"building {name}", quiet) as report:
                build_city(CityBuild(name, bundled_pbf(), packs, replace=True), report, settings)
        return load_city(name, packs, settings)
