"""What all SharedClaims keep, in memory and on every kind of Redis."""

from __future__ import annotations

import asyncio
import time

import pytest

from core.errors import Unavailable
from dispatch.adapters.memory import MemoryClaims
from dispatch.adapters.redis import RedisClaims
from dispatch.model import Offer
from dispatch.ports import SharedClaims
from runtime.redis import connect
from runtime.redis_settings import RedisSettings
from tests.contracts.conftest import RedisOf

KINDS = ["memory", "embedded", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("redis", "cluster"))]
LONG_S = 60.0


@pytest.fixture(params=KINDS)
async def claims(request: pytest.FixtureRequest, redis_of: RedisOf) -> SharedClaims:
    return MemoryClaims(time.monotonic) if request.param == "memory" else RedisClaims(await redis_of(request.param))


def offer(offer_id: str, driver_id: str) -> Offer:
    return Offer(
        offer_id=offer_id,
        request_id="req_1",
        driver_id=driver_id,
        mode="best",
        status="open",
        made_at=0.0,
        expires_at=12.0,
        pickup_eta_s=60.0,
        pickup_distance_m=600.0,
        score=0.0,
        why="nearest",
    )


MINE, THEIRS, OTHER = offer("off_1", "drv_1"), offer("off_2", "drv_1"), offer("off_3", "drv_2")


async def test_a_driver_is_claimed_by_one_worker_only(claims: SharedClaims) -> None:
    assert await claims.take([MINE], LONG_S) == set()
    assert await claims.take([THEIRS, OTHER], LONG_S) == {"drv_1"}
    assert await claims.take([MINE], LONG_S) == set(), "the answer to the first may have been lost"


async def test_of_many_who_claim_at_once_one_succeeds(claims: SharedClaims) -> None:
    outcomes = await asyncio.gather(*(claims.take([offer(f"off_{n}", "drv_1")], LONG_S) for n in range(10)))
    assert outcomes.count(set()) == 1


async def test_a_claim_is_let_go_by_the_offer_it_is_for_and_no_other(claims: SharedClaims) -> None:
    await claims.take([MINE], LONG_S)
    await claims.end([THEIRS], 0.0)
    assert await claims.take([THEIRS], LONG_S) == {"drv_1"}
    await claims.end([MINE, OTHER], 0.0)
    assert await claims.take([THEIRS], LONG_S) == set()


async def _free(claims: SharedClaims) -> None:
    async with asyncio.timeout(10):
        while await claims.take([THEIRS], LONG_S):
            await asyncio.sleep(0.005)


async def test_a_claim_ends_by_itself(claims: SharedClaims) -> None:
    await claims.take([MINE], 0.05)
    await _free(claims)


async def test_a_claim_may_be_shortened(claims: SharedClaims) -> None:
    await claims.take([MINE], LONG_S)
    await claims.end([MINE], 0.05)
    await _free(claims)
    await claims.end([MINE], 0.0)
    assert await claims.take([MINE], LONG_S) == {"drv_1"}, "it belongs to another offer by now"


async def test_without_redis_claims_are_unavailable() -> None:
    client = connect(RedisSettings(url="redis://127.0.0.1:1", retries=1))
    away = RedisClaims(client)
    for call in (away.take([MINE], 1.0), away.end([MINE], 0.0)):
        with pytest.raises(Unavailable):
            await call
    await client.aclose()
