"""Apps are sent to the nearest geography that answers."""

from __future__ import annotations

from core.geo import LatLng
from runtime.geographies import Geographies
from runtime.settings import ClusterSettings, Geography

NORTH = Geography("north", 59.33, 18.07, "http://north", "ws://north")
SOUTH = Geography("south", 55.60, 13.00, "http://south", "ws://south")
MALMO = LatLng(55.61, 13.01)


class Probe:
    def __init__(self) -> None:
        self.down: set[str] = set()

    async def __call__(self, api_url: str) -> bool:
        return api_url not in self.down


def names(geographies: Geographies, at: LatLng | None) -> list[str]:
    return [each.name for each, _ in geographies.nearest(at)]


async def test_the_nearest_comes_first_and_without_a_place_the_order_of_the_settings_holds() -> None:
    geographies = Geographies(ClusterSettings(geographies=(NORTH, SOUTH)), Probe())
    assert names(geographies, MALMO) == ["south", "north"]
    assert names(geographies, None) == ["north", "south"]
    (_, near_m), (_, far_m) = geographies.nearest(MALMO)
    assert near_m is not None
    assert far_m is not None
    assert near_m < 2_000 < 400_000 < far_m


async def test_one_that_does_not_answer_is_left_out_until_it_answers_again() -> None:
    probe = Probe()
    geographies = Geographies(ClusterSettings(geographies=(NORTH, SOUTH)), probe)
    probe.down = {"http://south"}
    await geographies.look()
    assert names(geographies, MALMO) == ["north"]
    probe.down = set()
    await geographies.look()
    assert names(geographies, MALMO) == ["south", "north"]
