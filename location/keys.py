"""Every Redis key of the supply. What one script touches shares a hash tag: it lies on one node of a cluster."""

from __future__ import annotations

from zlib import crc32

SHARDS = 16  # of the per-driver keys: enough to spread over a cluster, few enough to visit each second


def rows(segment: int) -> str:
    """Hash of a segment: driver id -> the writer's epoch and the row (model.ROW). Standing in it is the membership."""
    return f"hexcab:supply:{{{segment:x}}}"


def shard(driver_id: str) -> int:
    """The shard of a driver's keys."""
    return crc32(driver_id.encode()) % SHARDS


def seen(number: int) -> str:
    """Sorted set of a shard: driver id by engine time of the last ping. Expiry reads its low end alone."""
    return f"hexcab:supply:{{drivers{number}}}:seen"


def whereabouts(number: int) -> str:
    """Hash of a shard: driver id -> `EPOCH:SEGMENT`, who wrote last and in which segment (hexadecimal) the row is.

    Without a segment the driver was taken out; the epoch stays for a while, so that an older writer finds it.
    """
    return f"hexcab:supply:{{drivers{number}}}:segment"
