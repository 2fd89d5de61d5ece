"""Which tickets were used, in Redis: known to every host, and gone with the ticket's time."""

from __future__ import annotations

import secrets

from runtime import redis_keys as keys
from runtime.redis import Client


class RedisTicketUses:
    """TicketUses."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def first(self, ticket_id: str, keep_s: float) -> bool:
        """True for the first to ask. Raises Unavailable."""
        mine = secrets.token_hex(8)  # tells a command that was sent twice from two users
        key = keys.used_ticket(ticket_id)
        answers = await self._client.send([("SET", key, mine, "NX", "PX", max(1, int(keep_s * 1000))), ("GET", key)])
        return bool(answers[1] == mine.encode())
