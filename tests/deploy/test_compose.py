"""deploy/compose.yaml starts what `hexcab services` starts: the same servers, the same versions, on loopback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from runtime.services import pins
from runtime.services.kinds import NAMES

FILE = Path(__file__).resolve().parents[2] / "deploy" / "compose.yaml"
IMAGES = {
    "redis": f"redis:{pins.REDIS}",
    "redis-cluster": f"redis:{pins.REDIS}",
    "postgresql": f"postgres:{pins.POSTGRESQL}",
    "mariadb": f"mariadb:{pins.MARIADB}",
    "kafka": f"apache/kafka:{pins.KAFKA}",
    "cassandra": f"cassandra:{pins.CASSANDRA}",
}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    tree: dict[str, Any] = yaml.safe_load(FILE.read_text("utf-8"))
    return tree


def test_every_service_is_there_in_its_pinned_version(compose: dict[str, Any]) -> None:
    assert {name: each["image"] for name, each in compose["services"].items()} == IMAGES
    assert IMAGES.keys() == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_service_is_on_loopback_alone_is_asked_how_it_is_and_keeps_its_data(
    compose: dict[str, Any], name: str
) -> None:
    service = compose["services"][name]
    assert service["ports"]
    assert all(each.startswith("127.0.0.1:") for each in service["ports"])
    assert service["healthcheck"]["test"]
    assert [each.split(":")[0] for each in service["volumes"]] == [name]
    assert name in compose["volumes"]


def test_no_password_is_written_down(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for key, value in service["environment"].items():
            if key.endswith(("PASSWORD", "AUTH")) and "RANDOM" not in key:
                assert value.startswith("${HEXCAB_PASSWORD:?"), key
