"""A process that only runs a group, for tests to kill: `python -m tests.runtime.kafka.member BROKERS PREFIX`."""

from __future__ import annotations

import asyncio
import sys

from runtime.kafka_settings import KafkaSettings
from tests.runtime.kafka.world import Owners, Process


async def _run(brokers: str, prefix: str) -> None:
    owners = Owners()
    process = Process(KafkaSettings(brokers=brokers, prefix=prefix, partitions=8), owner=owners.of("child"))
    await process.bus.start()
    told = set[int]()
    while True:
        await asyncio.sleep(0.02)
        if (now := owners.owned.get("child", set())) != told:
            told = set(now)
            print(*sorted(told), flush=True)


if __name__ == "__main__":
    asyncio.run(_run(*sys.argv[1:]))
