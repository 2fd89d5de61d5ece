from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from core.geo import FloatArray
from dispatch.adapters.profiles import SqlProfiles
from dispatch.adapters.sql import SqlStore
from dispatch.settle import booking
from runtime.clocks import ManualClock
from runtime.settings import DispatchSettings
from runtime.sql import Database
from tests.contracts.test_dispatch_store import a_request, an_offer
from tests.dispatch.stores import FakeTrips


class FakeRatings:
    async def of(self, driver_ids: Sequence[str]) -> FloatArray:
        return np.array([4.9 if driver == "a" else np.nan for driver in driver_ids])


async def answered(database: Database, driver_id: str, statuses: Sequence[str], start: int = 0) -> None:
    """Offers with these ends, oldest first."""
    store = SqlStore(database, lambda _tx: FakeTrips())
    if start == 0:
        await store.book(booking(a_request(f"req_{driver_id}", rider_id=driver_id)))
    async with store.transaction() as uow:
        for place, status in enumerate(statuses, start):
            offer_id = f"off_{driver_id}_{place}"
            offer = an_offer(offer_id, f"req_{driver_id}", driver_id, status=status, made_at=float(place))
            await uow.offers.add([offer])


async def test_acceptance_is_the_share_of_the_last_answered_offers(database: Database, clock: ManualClock) -> None:
    settings = msgspec.structs.replace(DispatchSettings(), acceptance_window=4)
    await answered(database, "a", ["declined"] * 9 + ["accepted", "expired", "accepted", "accepted"])
    await answered(database, "b", ["accepted_elsewhere", "cancelled", "undelivered"])
    await answered(database, "c", ["accepted", "declined", "cancelled"])
    profiles = SqlProfiles(database, FakeRatings(), clock, settings)
    found = await profiles.of(["c", "a", "b", "nobody"])
    np.testing.assert_array_equal(found.acceptance, [0.5, 0.75, np.nan, np.nan])
    np.testing.assert_array_equal(found.rating, [np.nan, 4.9, np.nan, np.nan])


async def test_acceptance_is_remembered_for_a_while_and_for_so_many(database: Database, clock: ManualClock) -> None:
    settings = msgspec.structs.replace(DispatchSettings(), profile_cache_s=30.0, profile_cache_max=1)
    await answered(database, "a", ["accepted"])
    profiles = SqlProfiles(database, FakeRatings(), clock, settings)
    assert (await profiles.of(["a"])).acceptance.tolist() == [1.0]
    await answered(database, "a", ["declined"], start=1)
    await clock.advance(29, settle_s=0)
    assert (await profiles.of(["a"])).acceptance.tolist() == [1.0]
    await clock.advance(1, settle_s=0)
    assert (await profiles.of(["a"])).acceptance.tolist() == [0.5]
    await answered(database, "a", ["declined", "declined"], start=2)
    await profiles.of(["b"])  # pushes "a" out
    assert (await profiles.of(["a"])).acceptance.tolist() == [0.25]
