"""One-time codes: once, for a while, few tries, few codes, nothing told to strangers."""

from __future__ import annotations

import asyncio
import random

import pytest
import sqlalchemy as sa

from accounts.adapters.sql import SqlCodeWork, SqlPeople, SqlTransactions, one_time_codes
from accounts.model import NewDriver, NewRider, Role, Vehicle
from accounts.service import DriverDesk, RiderDesk
from accounts.sessions import CodeMaker, SessionDesk, SessionPorts
from core.errors import InvalidInput, TooMany, Unauthorized
from core.ids import Ids
from runtime.clocks import ManualClock
from runtime.settings import WebSettings
from runtime.sql import Database

PHONE = "+46701234567"


class Post:
    """Keeps what was sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []

    async def send(self, phone: str, code: str, good_for_s: float) -> None:
        self.sent.append((phone, code))

    @property
    def last(self) -> str:
        return self.sent[-1][1]


def mint(scope: Role, subject: str, ttl_s: float) -> str:
    return f"{scope}:{subject}:{ttl_s:.0f}"


@pytest.fixture
def post() -> Post:
    return Post()


@pytest.fixture
def desk(database: Database, post: Post, ids: Ids, clock: ManualClock) -> SessionDesk:
    ports = SessionPorts(SqlTransactions(database, SqlCodeWork), SqlPeople(database, database), post, mint)
    return SessionDesk(ports, CodeMaker(random.Random(11), b"key"), ids, clock, WebSettings())


@pytest.fixture
async def rider_id(riders: RiderDesk) -> str:
    return (await riders.create(NewRider("Ada", PHONE))).rider_id


def other(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06d}"


async def refused(desk: SessionDesk, code: str) -> None:
    with pytest.raises(Unauthorized) as wrong:
        await desk.verify(PHONE, code)
    assert wrong.value.code == "wrong_code"


async def test_right_code_gives_the_riders_token(desk: SessionDesk, post: Post, rider_id: str) -> None:
    sent = await desk.start("0046 701234567", "rider")
    assert (sent.phone, post.sent[0][0]) == (PHONE, PHONE)
    session = await desk.verify(PHONE, post.last)
    assert (session.token, session.subject, session.role) == (f"rider:{rider_id}:86400", rider_id, "rider")


async def test_role_chooses_the_account(desk: SessionDesk, post: Post, rider_id: str, drivers: DriverDesk) -> None:
    driver = await drivers.create(NewDriver("Ada", PHONE, Vehicle("ABC123", "standard", 4)), by_ops=True)
    await desk.start(PHONE, "driver")
    assert (await desk.verify(PHONE, post.last)).subject == driver.driver_id


async def test_code_is_good_once(desk: SessionDesk, post: Post, rider_id: str) -> None:
    await desk.start(PHONE, "rider")
    await desk.verify(PHONE, post.last)
    await refused(desk, post.last)


async def test_code_expires(desk: SessionDesk, post: Post, rider_id: str, clock: ManualClock) -> None:
    await desk.start(PHONE, "rider")
    await clock.advance(300)
    await refused(desk, post.last)


async def test_newer_code_replaces_the_older(desk: SessionDesk, post: Post, rider_id: str) -> None:
    await desk.start(PHONE, "rider")
    await desk.start(PHONE, "rider")
    assert post.sent[0] != post.sent[1]
    await refused(desk, post.sent[0][1])
    await desk.verify(PHONE, post.last)


async def test_right_code_comes_too_late_after_too_many_wrong_ones(
    desk: SessionDesk, post: Post, rider_id: str
) -> None:
    await desk.start(PHONE, "rider")
    for _ in range(5):
        await refused(desk, other(post.last))
    await refused(desk, post.last)


async def test_four_wrong_tries_still_leave_one(desk: SessionDesk, post: Post, rider_id: str) -> None:
    await desk.start(PHONE, "rider")
    for _ in range(4):
        await refused(desk, other(post.last))
    assert (await desk.verify(PHONE, f" {post.last} ")).subject == rider_id


async def test_codes_per_hour_are_limited_and_the_limit_says_when_to_come_again(
    desk: SessionDesk, post: Post, rider_id: str, clock: ManualClock
) -> None:
    for _ in range(5):
        await desk.start(PHONE, "rider")
        await clock.advance(60, settle_s=0)
    await desk.verify(PHONE, post.last)  # a used code still counts
    with pytest.raises(TooMany) as limited:
        await desk.start(PHONE, "driver")
    assert limited.value.retry_after_s == pytest.approx(3_300)
    await clock.advance(3_300, settle_s=0)
    await desk.start(PHONE, "rider")
    assert len(post.sent) == 6


async def test_strangers_phone_gets_the_same_answer_and_no_message(
    desk: SessionDesk, post: Post, clock: ManualClock
) -> None:
    sent = await desk.start(PHONE, "rider")
    assert (sent.phone, sent.expires_at) == (PHONE, clock.now() + 300)
    assert post.sent == []
    await refused(desk, "123456")


async def test_code_that_was_never_asked_for_is_wrong(desk: SessionDesk) -> None:
    await refused(desk, "123456")


@pytest.mark.parametrize(("phone", "role", "field"), [("070", "rider", "phone"), (PHONE, "ops", "role")])
async def test_bad_input_is_named(desk: SessionDesk, phone: str, role: str, field: str) -> None:
    with pytest.raises(InvalidInput) as wrong:
        await desk.start(phone, role)
    assert [error.field for error in wrong.value.errors] == [field]


async def test_code_is_not_kept_in_the_clear(desk: SessionDesk, post: Post, rider_id: str, database: Database) -> None:
    await desk.start(PHONE, "rider")
    async with database.reading() as connection:
        row = (await connection.execute(sa.select(one_time_codes))).mappings().one()
    assert post.last not in {str(value) for value in row.values()}
    assert len(row["digest"]) == 64


async def test_who_asks_many_times_at_once_gets_no_more_codes_than_one_after_the_other_and_one_that_is_good(
    desk: SessionDesk, post: Post, rider_id: str
) -> None:
    results = await asyncio.gather(*(desk.start(PHONE, "rider") for _ in range(20)), return_exceptions=True)
    assert all(isinstance(each, TooMany) for each in results if isinstance(each, BaseException))
    assert 1 <= len(post.sent) <= 5
    good = 0
    for _, code in post.sent[-4:]:  # as many tries as a code allows
        try:
            await desk.verify(PHONE, code)
            good += 1
        except Unauthorized:
            continue
    assert good <= 1
