"""Signing drivers and riders up, as an operator does."""

from __future__ import annotations

import random
from typing import Any

from core.errors import Unavailable
from simulator.agents.api import Api, Ask
from simulator.agents.recorder import Kind
from simulator.agents.world import Person, World

_NAMES = (
    "Alma",
    "Bo",
    "Cleo",
    "Dag",
    "Elsa",
    "Folke",
    "Greta",
    "Hugo",
    "Ida",
    "Jon",
    "Kim",
    "Lova",
    "Mio",
    "Nour",
    "Olle",
)
_TRIES = 5


class Office:
    """Makes people out of nothing. Phone numbers are drawn; one that is taken is drawn again."""

    def __init__(self, world: World, api: Api, rng: random.Random) -> None:
        self._world = world
        self._api = api
        self._rng = rng
        self._token = world.mint("ops", "fleet")

    async def driver(self) -> Person:
        """A new driver, approved. Raises Unavailable when the engine does not take any."""
        plate = f"{self._rng.choice('ABCDEFGH')}{self._rng.choice('JKLMNPRS')}X {self._rng.randrange(100, 1000)}"
        return await self._person("driver", {"vehicle": {"plate": plate, "class": "standard", "seats": 4}})

    async def rider(self) -> Person:
        """A new rider, sometimes a premium one. Raises Unavailable when the engine does not take any."""
        person = await self._person("rider", {})
        if self._rng.random() < self._world.rider_habits.premium:
            await self._api.call(Ask("PATCH", f"/v1/riders/{person.id}", self._token, {"class": "premium"}))
        return person

    async def _person(self, kind: Kind, more: dict[str, Any]) -> Person:
        for _ in range(_TRIES):
            name = f"{self._rng.choice(_NAMES)} {self._rng.choice('ABCDEFGHIJKLMNOPRSTUV')}."
            body = {"name": name, "phone": f"+4670{self._rng.randrange(10**7, 10**8)}", **more}
            answer = await self._api.call(Ask("POST", f"/v1/{kind}s", self._token, body, self._api.new_key()))
            if answer.ok:
                person_id = str(answer.body[f"{kind}_id"])
                self._world.recorder.signed_up(kind, person_id)
                return Person(person_id, self._world.mint(kind, person_id))
            self._world.recorder.refused(kind, "", answer.code, str(answer.body.get("detail", "")))
            if answer.status != 409:
                break
        raise Unavailable(f"no {kind} could be signed up: {answer.code}: {answer.body.get('detail', '')}")
