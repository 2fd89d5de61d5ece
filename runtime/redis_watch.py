"""The watch over Redis: whether it answers, and whether it has lost what this process told it."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable

from core.errors import Unavailable
from runtime.redis import Client, Command
from runtime.redis_keys import MARKS

_log = logging.getLogger("hexcab.redis")


class RedisWatch:
    """Looks now and then, and has everything told again when Redis may have lost it.

    That is after each time that Redis did not answer (a replica which took over may lack the last writes), and when a
    mark, made once and spread over all servers, is not what it was (a server was started anew without its data).
    """

    def __init__(self, client: Client, rng: random.Random) -> None:
        self._client = client
        self._rng = rng
        self._seen: list[bytes] = []
        self._tell_again: list[Callable[[], None]] = []
        self._away: Unavailable | None = None

    def on_loss(self, tell_again: Callable[[], None]) -> None:
        """Call this after every loss."""
        self._tell_again.append(tell_again)

    def check(self) -> None:
        """Raises Unavailable while Redis does not answer, as of the last look."""
        if self._away is not None:
            raise Unavailable(self._away.detail, code=self._away.code)

    async def ready(self) -> None:
        """Raises Unavailable when Redis does not answer now, or has not been told everything again since."""
        self.check()
        await self._client.ask("GET", MARKS[0])

    async def look(self) -> None:
        """Look at the marks; never raises."""
        new = f"{self._rng.getrandbits(64):x}"  # each time another: a mark that this process makes again is seen too
        asks: list[Command] = [each for mark in MARKS for each in (("SET", mark, new, "NX"), ("GET", mark))]
        try:
            seen = (await self._client.send(asks))[1::2]
        except Unavailable as error:
            if self._away is None:
                _log.warning("Redis is away: %s", error.detail)
            self._away = error
            return
        lost = bool(self._seen) and seen != self._seen
        was_away, self._away, self._seen = self._away is not None, None, seen
        if lost or was_away:
            _log.warning("Redis %s; it is told everything again", "has lost data" if lost else "answers again")
            for tell_again in self._tell_again:
                tell_again()
