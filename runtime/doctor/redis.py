"""Redis: whether it is the right kind and may be written, what it does when it is full or dies, and its clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runtime.doctor.findings import Finding, Standards, Status, clock_wrong, graded
from runtime.redis import library_client
from runtime.redis_settings import RedisSettings

_SLOTS = 16_384
_NEARLY_FULL = 0.9

Wrong = list[tuple[Status, str, str]]
Info = dict[str, Any]


async def look_at_redis(settings: RedisSettings, standards: Standards) -> Sequence[Finding]:
    """The lines of one server, or of a Redis Cluster and each of its masters. May raise whatever the library does."""
    client = library_client(settings)
    try:
        if not settings.url.partition("://")[0].endswith("+cluster"):
            return _server("redis", await client.info("everything"), standards)
        await client.initialize()
        state = await client.cluster_info(target_nodes=client.RANDOM)
        lines = _cluster(next(iter(state.values())) if _by_node(state) else state)
        for node in client.get_primaries():
            lines += _server(f"redis {node.name}", await client.info("everything", target_nodes=node), standards)
        return lines
    finally:
        await client.aclose()


def _by_node(answer: Info) -> bool:
    return "cluster_state" not in answer


def _cluster(state: Info) -> list[Finding]:
    wrong: Wrong = []
    covered, masters, nodes = (int(state[f"cluster_{name}"]) for name in ("slots_ok", "size", "known_nodes"))
    if state["cluster_state"] != "ok" or covered < _SLOTS:
        detail = f"the cluster is {state['cluster_state']}: {covered} of {_SLOTS} slots are served"
        wrong.append(("fail", detail, "start the masters that are away, or let their replicas take over"))
    if nodes < 2 * masters:
        detail = f"{masters} masters have {nodes - masters} replicas: losing one takes its part away"
        wrong.append(("warn", detail, "give each master a replica"))
    return graded("redis cluster", wrong, f"{masters} masters, {nodes - masters} replicas, all slots served")


def _server(check: str, info: Info, standards: Standards) -> list[Finding]:
    wrong = _clock(info, standards) + _kind(check, info) + _memory(info) + _durability(info)
    version = info.get("valkey_version") or info.get("redis_version")
    name = "Valkey" if "valkey_version" in info else "Redis"
    return graded(check, wrong, f"{name} {version}, {int(info['used_memory']) / 1e6:.0f} MB, append-only file on")


def _clock(info: Info, standards: Standards) -> Wrong:
    if "server_time_usec" not in info:
        return []
    return clock_wrong(int(info["server_time_usec"]) / 1e6 - standards.clock.now(), standards)


def _kind(check: str, info: Info) -> Wrong:
    wrong: Wrong = []
    if info.get("role") != "master":
        wrong.append(("fail", "it is a replica and takes no writes", "let redis.url lead to the master"))
    if check == "redis" and int(info.get("cluster_enabled", 0)):
        remedy = "write redis.url as redis+cluster://host:port,host:port"
        wrong.append(("fail", "it is a node of a Redis Cluster, and asked as if it were alone", remedy))
    return wrong


def _memory(info: Info) -> Wrong:
    most, used, policy = int(info.get("maxmemory", 0)), int(info["used_memory"]), info.get("maxmemory_policy")
    if not most:
        return []
    wrong: Wrong = []
    if policy != "noeviction":
        detail = f"maxmemory-policy = {policy}: when it is full it forgets drivers, claims and presence"
        wrong.append(("fail", detail, "set maxmemory-policy to noeviction"))
    if used > _NEARLY_FULL * most:
        wrong.append(("fail", f"{used / most:.0%} of maxmemory are used", "raise maxmemory, or add masters"))
    return wrong


def _durability(info: Info) -> Wrong:
    wrong: Wrong = []
    if not int(info.get("aof_enabled", 0)):
        detail = "appendonly = no: after a restart every host has to tell it everything again"
        wrong.append(("warn", detail, "set appendonly to yes"))
    failing = [name for name in ("aof_last_write_status", "rdb_last_bgsave_status") if info.get(name, "ok") != "ok"]
    if failing:
        detail = f"it cannot write to its disk ({', '.join(failing)})"
        wrong.append(("fail", detail, "look at its log and at the room on its disk"))
    return wrong
