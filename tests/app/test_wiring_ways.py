"""Ways as the API shows them."""

from __future__ import annotations

import numpy as np
import pytest

from app.wiring.ways import matrix_body, route_body
from core.geo import LatLng
from maps.eta import EtaIndex
from maps.paths import NoRoute, Paths
from maps.snap import NotOnRoad
from tests.maps.graphs import Street, graph_of, lattice_place

STREETS = [Street(0, 1, True, 50.0, (0, 0)), Street(1, 2, False, 50.0, (0, 0)), Street(2, 3, True, 30.0, (0, 0))]
HERE, THERE, OFF = LatLng(*lattice_place(0)), LatLng(*lattice_place(3)), LatLng(58.5, 12.0)


@pytest.fixture
def eta() -> EtaIndex:
    return EtaIndex.of(graph_of(STREETS))


def test_a_matrix_marks_what_cannot_be_reached_and_what_is_off_the_road(eta: EtaIndex) -> None:
    body = matrix_body(eta, [HERE, THERE, OFF], [THERE, OFF, HERE])
    there = eta.to_one(np.array([HERE.lat]), np.array([HERE.lng]), THERE)
    assert body["durations_s"][0] == [pytest.approx(there.seconds[0], abs=0.06), None, 0.0]
    assert body["distances_m"][0][0] == pytest.approx(there.metres[0], abs=0.06)
    assert body["durations_s"][1] == [0.0, None, None], "a one-way street leads nowhere back"
    assert body["durations_s"][2] == [None, None, None]
    assert body["off_road"] == {"sources": [2], "targets": [1]}


def test_a_route_follows_the_streets_and_adds_up(eta: EtaIndex) -> None:
    body = route_body(Paths(eta), HERE, THERE)
    there = eta.to_one(np.array([HERE.lat]), np.array([HERE.lng]), THERE)
    assert body["duration_s"] == pytest.approx(there.seconds[0], abs=0.06)
    assert sum(step["distance_m"] for step in body["steps"]) == pytest.approx(body["distance_m"], abs=0.2)
    line = body["geometry"]["coordinates"]
    assert line[0] == pytest.approx([HERE.lng, HERE.lat], abs=1e-5)
    assert line[-1] == pytest.approx([THERE.lng, THERE.lat], abs=1e-5)
    with pytest.raises(NoRoute):
        route_body(Paths(eta), THERE, HERE)
    with pytest.raises(NotOnRoad):
        route_body(Paths(eta), HERE, OFF)
