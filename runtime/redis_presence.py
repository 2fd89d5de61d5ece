"""Presence in Redis or a Redis Cluster."""

from __future__ import annotations

from collections.abc import Sequence

from runtime import redis_keys as keys
from runtime.presence import Arrival, Arrived, Departure, Host, Kind, Subject
from runtime.redis import Client, Command, Run, Script

_RECLAIM_AT_ONCE = 1_000
_ANY = "any"  # in place of an epoch: whatever it is

# Epochs are microseconds of Redis's own clock where that is ahead of the last one: so they also grow when Redis has
# lost what it knew. The last epoch of who left is kept for a while, in case a replica with a slower clock takes over.
_PARSE = """
local held = redis.call('GET', KEYS[1])
local epoch, host, before = 0, '', ''
if held then
  epoch, host, before = string.match(held, '^(%d+)|([^|]*)|([^|]*)$')
  epoch = tonumber(epoch)
end
"""
_NOW = """
local now = redis.call('TIME')
local new = math.max(epoch + 1, now[1] * 1000000 + now[2])
"""

# keys: holder; arguments: host, epoch or 0, milliseconds to keep. Answers epoch and the host before.
_ARRIVE_DRIVER = Script(
    _PARSE
    + """
local mine = tonumber(ARGV[2])
if mine > 0 and mine < epoch then
  return {'0', host}
end
if mine == 0 then
"""
    + _NOW
    + """
  mine = new
end
if host ~= '' and host ~= ARGV[1] then
  before = host
end
local text = string.format('%.0f', mine)
redis.call('SET', KEYS[1], text .. '|' .. ARGV[1] .. '|' .. before, 'PX', ARGV[3])
return {text, before}
"""
)

_ARRIVE_RIDER = Script(
    """
local mine = tonumber(ARGV[2])
if mine == 0 then
  local epoch = 0
  for _, theirs in ipairs(redis.call('HVALS', KEYS[1])) do
    epoch = math.max(epoch, tonumber(theirs))
  end
"""
    + _NOW
    + """
  mine = new
end
local text = string.format('%.0f', mine)
redis.call('HSET', KEYS[1], ARGV[1], text)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {text, ''}
"""
)

# keys: holder; arguments: host, epoch or any, milliseconds to keep the epoch. Answers whether it was so.
_LEAVE_DRIVER = Script(
    _PARSE
    + """
if host ~= ARGV[1] or (ARGV[2] ~= 'any' and tonumber(ARGV[2]) ~= epoch) then
  return 0
end
redis.call('SET', KEYS[1], string.format('%.0f', epoch) .. '||', 'PX', ARGV[3])
return 1
"""
)

_LEAVE_RIDER = Script(
    """
local held = redis.call('HGET', KEYS[1], ARGV[1])
if not held or (ARGV[2] ~= 'any' and tonumber(held) ~= tonumber(ARGV[2])) then
  return 0
end
redis.call('HDEL', KEYS[1], ARGV[1])
return 1
"""
)

_ARRIVE = {"driver": _ARRIVE_DRIVER, "rider": _ARRIVE_RIDER}
_LEAVE = {"driver": _LEAVE_DRIVER, "rider": _LEAVE_RIDER}


class RedisPresence:
    """Presence. `keep_s`: wall time that Redis keeps what no host tells anew."""

    def __init__(self, client: Client, keep_s: float) -> None:
        self._client = client
        self._keep_ms = int(keep_s * 1000)

    async def arrive(self, host_id: str, arrivals: Sequence[Arrival]) -> list[Arrived]:
        """Note that these hang on the host now."""
        if not arrivals:
            return []
        # the host's own set may hold too much, never too little: what is in it is reclaimed should the host die
        listed = [word for arrival in arrivals for word in (0, keys.member(arrival.subject))]
        runs: list[Command] = [("ZADD", keys.subjects(host_id), *listed)]
        for subject, epoch in arrivals:
            runs.append(Run(_ARRIVE[subject.kind], [keys.holder(subject)], [host_id, epoch, self._keep_ms]))
        answers = await self._client.send(runs)
        return [Arrived(int(epoch), previous.decode()) for epoch, previous in answers[1:]]

    async def leave(self, host_id: str, departures: Sequence[Departure]) -> list[bool]:
        """Forget these, where nobody newer has come."""
        return await self._leave(host_id, [(subject, str(epoch)) for subject, epoch in departures])

    async def hosts_of(self, subjects: Sequence[Subject]) -> list[list[Host]]:
        """The living hosts of each."""
        asks: list[Command] = [
            ("GET" if subject.kind == "driver" else "HKEYS", keys.holder(subject)) for subject in subjects
        ]
        found: list[list[str]] = [_holders(answer) for answer in await self._client.send(asks)]
        living = {host.id: host for host in await self._living({each for ids in found for each in ids})}
        return [[living[each] for each in ids if each in living] for ids in found]

    async def subjects_of(self, host_id: str, after: Subject | None = None, limit: int = 1_000) -> list[Subject]:
        """Who hangs on a host, in order."""
        start = "-" if after is None else f"({keys.member(after)}"
        found = await self._client.ask("ZRANGE", keys.subjects(host_id), start, "+", "BYLEX", "LIMIT", 0, limit)
        return [_subject(each.decode()) for each in found]

    async def beat(self, host: Host, expires_s: float) -> bool:
        """A sign of life."""
        signs: list[Command] = [
            ("ZADD", keys.HOSTS, 0, host.id),
            ("EXISTS", keys.life(host.id)),
            ("SET", keys.life(host.id), host.address, "PX", max(1, int(expires_s * 1000))),
        ]
        added, lived, _ = await self._client.send(signs)
        # who reclaims a dead host takes it from the list last: one that woke meanwhile has to tell everything again
        return bool(lived) and not added

    async def hosts(self) -> list[Host]:
        """Every living host."""
        return await self._living(await self._known())

    async def reclaim(self) -> int:
        """Forget who hung on hosts that are dead."""
        known = await self._known()
        living = {host.id for host in await self._living(known)}
        count = 0
        for host_id in known - living:
            while gone := await self.subjects_of(host_id, limit=_RECLAIM_AT_ONCE):
                count += sum(await self._leave(host_id, [(subject, _ANY) for subject in gone]))
            await self._client.ask("ZREM", keys.HOSTS, host_id)
        return count

    async def retire(self, host_id: str) -> None:
        """The host goes."""
        await self._client.ask("DEL", keys.life(host_id))

    async def _leave(self, host_id: str, departures: Sequence[tuple[Subject, str]]) -> list[bool]:
        if not departures:
            return []
        left = await self._client.send(
            [
                Run(_LEAVE[subject.kind], [keys.holder(subject)], [host_id, epoch, self._keep_ms])
                for subject, epoch in departures
            ]
        )
        gone = [keys.member(subject) for subject, _ in departures]
        await self._client.ask("ZREM", keys.subjects(host_id), *gone)
        return [bool(each) for each in left]

    async def _known(self) -> set[str]:
        return {host_id.decode() for host_id in await self._client.ask("ZRANGE", keys.HOSTS, 0, -1)}

    async def _living(self, host_ids: set[str]) -> list[Host]:
        asked = sorted(host_ids)
        addresses = await self._client.send([("GET", keys.life(host_id)) for host_id in asked])
        return [
            Host(host_id, address.decode())
            for host_id, address in zip(asked, addresses, strict=True)
            if address is not None
        ]


def _holders(answer: bytes | list[bytes] | None) -> list[str]:
    if answer is None:
        return []
    if isinstance(answer, bytes):
        host = answer.decode().split("|")[1]
        return [host] if host else []
    return [each.decode() for each in answer]


def _subject(member: str) -> Subject:
    kind, _, subject_id = member.partition(":")
    kinds: dict[str, Kind] = {"driver": "driver", "rider": "rider"}
    return Subject(kinds[kind], subject_id)
