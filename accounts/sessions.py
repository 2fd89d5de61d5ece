"""Sessions: a one-time code proves that a phone is the caller's; tokens follow.

What is told never depends on whether a phone has an account: a stranger's phone gets no message, but the same answer.
"""

from __future__ import annotations

import hashlib
import hmac
import random
from dataclasses import dataclass
from typing import get_args

import msgspec

from accounts.model import Role, normal_phone
from accounts.ports import CodeRow, CodeSender, CodeWork, Minter, People, Transactions
from core.clock import Clock
from core.errors import Conflict, FieldError, InvalidInput, TooMany, Unauthorized
from core.ids import Ids
from runtime.settings import WebSettings

_HOUR_S = 3_600.0


class CodeSent(msgspec.Struct, frozen=True):
    """A code is on its way, if the phone has an account in this role."""

    phone: str
    role: Role
    expires_at: float


class Session(msgspec.Struct, frozen=True):
    """What a right code is worth: a bearer token and whose it is. `expires_in_s` is wall time."""

    token: str
    role: Role
    subject: str
    expires_in_s: float


@dataclass(frozen=True, slots=True)
class SessionPorts:
    """What sessions work with."""

    transactions: Transactions[CodeWork]
    people: People
    sender: CodeSender
    mint: Minter


@dataclass(frozen=True, slots=True)
class CodeMaker:
    """Makes codes: `rng` must not be guessable (random.SystemRandom); `key` is what codes are hashed with."""

    rng: random.Random
    key: bytes

    def code(self) -> str:
        """Six digits."""
        return f"{self.rng.randrange(1_000_000):06d}"

    def digest(self, code_id: str, code: str) -> str:
        """What is kept of a code. Keyed, because six digits alone are found by trying all of them."""
        return hmac.new(self.key, f"{code_id}:{code}".encode(), hashlib.sha256).hexdigest()


class SessionDesk:
    """Sends one-time codes and takes them back."""

    def __init__(self, ports: SessionPorts, maker: CodeMaker, ids: Ids, clock: Clock, settings: WebSettings) -> None:
        self._ports = ports
        self._maker = maker
        self._ids = ids
        self._clock = clock
        self._settings = settings

    async def start(self, phone: str, role: str) -> CodeSent:
        """Send a code; an earlier one of the same phone is no longer good.

        Raises InvalidInput bad_phone or bad_role, TooMany after `codes_per_hour`, and Unavailable.
        """
        number, as_role = normal_phone(phone), _role(role)
        now = self._clock.now()
        subject = await self._ports.people.subject_of(as_role, number)
        code, code_id = self._maker.code(), self._ids.new("cod")
        row = CodeRow(
            code_id=code_id,
            phone=number,
            role=as_role,
            subject=subject,
            digest=self._maker.digest(code_id, code),
            tries=0,
            made_at=now,
            expires_at=now + self._settings.code_s,
        )
        try:
            async with self._ports.transactions() as uow:
                await uow.codes.void(number)
                made = await uow.codes.made_since(number, now - _HOUR_S)
                if len(made) >= self._settings.codes_per_hour:
                    again = made[-self._settings.codes_per_hour] + _HOUR_S - now
                    raise TooMany("too many codes for this phone", retry_after_s=max(1.0, again), code="too_many_codes")
                await uow.codes.add(row, now - _HOUR_S)
        except Conflict as error:
            raise TooMany("another code is on its way", retry_after_s=1.0, code="too_many_codes") from error
        if subject is not None:
            await self._ports.sender.send(number, code, self._settings.code_s)
        return CodeSent(number, as_role, row.expires_at)

    async def verify(self, phone: str, code: str) -> Session:
        """A session for a right code, which is used up.

        Raises InvalidInput bad_phone, and Unauthorized wrong_code whatever is wrong: the code, its age, its use, too
        many tries, or that there never was one.
        """
        number = normal_phone(phone)
        async with self._ports.transactions() as uow:  # commits a wrong try too: raised below, not in here
            row = await uow.codes.latest(number)
            is_open = row is not None and row.expires_at > self._clock.now() and row.tries < self._settings.code_tries
            if row is not None and is_open:
                if self._is_right(row, code):
                    await uow.codes.spend(row.code_id)
                else:
                    await uow.codes.count_try(row.code_id)
        if row is None or not is_open or row.subject is None or not self._is_right(row, code):
            raise Unauthorized("the code is wrong, used or expired", code="wrong_code")
        token = self._ports.mint(row.role, row.subject, self._settings.token_s)
        return Session(token, row.role, row.subject, self._settings.token_s)

    def _is_right(self, row: CodeRow, code: str) -> bool:
        return hmac.compare_digest(row.digest, self._maker.digest(row.code_id, str(code).strip()))


def _role(role: str) -> Role:
    for known in get_args(Role):
        if role == known:
            return known  # type: ignore[no-any-return]
    error = FieldError("role", f"must be one of {', '.join(get_args(Role))}")
    raise InvalidInput(f"role {error.detail}", code="bad_role", errors=(error,))
