"""The watch over Redis: whether it answers, and whether it has lost what this process told it."""

from __future__ import annotations

import logging
from collections.abc import Callable

from core.errors import Unavailable
from runtime.redis import Client, Command
from runtime.redis_keys import marks

_log = logging.getLogger("hexcab.redis")

_KEEP_MS = 600_000  # how long the marks of a process that is no more are kept


class RedisWatch:
    """Looks now and then, and has everything told again when Redis may have lost it.

    That is after each time that Redis did not answer, as a replica which took over may lack the last writes; and when
    one of the marks, which are spread over all servers and get a new number with each look, is not what it was: a
    server was started anew without its last data, or without any.
    """

    def __init__(self, client: Client, host_id: str) -> None:
        self._client = client
        self._marks = marks(host_id)
        self._looks = 0
        self._marked = False
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
        await self._client.ask("GET", self._marks[0])

    async def look(self) -> None:
        """Look at the marks and renew them; never raises."""
        last, self._looks = self._looks, self._looks + 1
        commands: list[Command] = []
        for mark in self._marks:
            commands += [("GET", mark), ("SET", mark, self._looks, "PX", _KEEP_MS)]
        try:
            found = (await self._client.send(commands))[::2]
        except Unavailable as error:
            if self._away is None:
                _log.warning("Redis is away: %s", error.detail)
            self._away = error
            return
        # the present number: a batch that was sent twice
        lost = self._marked and any(int(each or 0) not in (last, self._looks) for each in found)
        was_away, self._away, self._marked = self._away is not None, None, True
        if lost or was_away:
            _log.warning("Redis %s; it is told everything again", "has lost data" if lost else "answers again")
            for tell_again in self._tell_again:
                tell_again()
