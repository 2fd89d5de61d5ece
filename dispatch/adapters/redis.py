"""SharedClaims in Redis or a Redis Cluster."""

from __future__ import annotations

from collections.abc import Sequence

from dispatch import keys
from dispatch.model import Offer
from runtime.redis import Client, Command, Run, Script

# keys: claim; arguments: offer, milliseconds to keep or 0. Changes nothing where the claim is for another offer.
_END = Script(
    """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
if tonumber(ARGV[2]) > 0 then
  return redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return redis.call('DEL', KEYS[1])
"""
)


class RedisClaims:
    """The offer is owner and token of a claim in one: whoever ends the offer may end the claim, nobody else can."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def take(self, offers: Sequence[Offer], keep_s: float) -> set[str]:
        """Claim these drivers; returns those of them whom others hold. Raises Unavailable."""
        keep_ms = max(1, int(keep_s * 1000))
        commands: list[Command] = []
        for offer in offers:
            key = keys.claim(offer.driver_id)
            commands += [("SET", key, offer.offer_id, "NX", "PX", keep_ms), ("GET", key)]
        holders = (await self._client.send(commands))[1::2]
        return {
            offer.driver_id
            for offer, holder in zip(offers, holders, strict=True)
            if holder is not None and holder != offer.offer_id.encode()
        }

    async def end(self, offers: Sequence[Offer], keep_s: float) -> None:
        """Let these claims go after so long. Raises Unavailable."""
        keep_ms = int(keep_s * 1000)
        await self._client.send([Run(_END, [keys.claim(each.driver_id)], [each.offer_id, keep_ms]) for each in offers])
