"""Who is calling: signed tokens (JWT, HS256) and one-use tickets for browsers' sockets."""

from __future__ import annotations

import hmac
import itertools
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from typing import Any, Literal, Protocol, cast, get_args

import jwt
import msgspec

from core.errors import Unauthorized

Scope = Literal["rider", "driver", "ops", "view"]  # view: the operator feed alone, for an open console

_ISSUER = "hexcab"
_HEAD = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"  # {"alg":"HS256","typ":"JWT"}, as PyJWT writes it


class _Claims(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `sign` puts into a token, and nothing else."""

    iss: str
    sub: str
    scope: Scope
    iat: int
    exp: int


_decode_claims = msgspec.json.Decoder(_Claims).decode


class Identity(msgspec.Struct, frozen=True):
    """A caller: what they may do, and who they are."""

    scope: Scope
    subject: str


def _expired() -> Unauthorized:
    return Unauthorized("the token has expired", code="token_expired")


class Tokens:
    """Signs and verifies bearer tokens with the server's key. Expiry follows the wall's clock: it is about security."""

    def __init__(self, key: bytes, wall: Callable[[], float] = time.time) -> None:
        self._key = key
        self._wall = wall

    def sign(self, scope: Scope, subject: str, ttl_s: float) -> str:
        """A token for a caller that is good for so many wall seconds."""
        now = self._wall()
        claims = {"iss": _ISSUER, "sub": subject, "scope": scope, "iat": int(now), "exp": int(now + ttl_s)}
        return jwt.encode(claims, self._key, algorithm="HS256")

    def derived_key(self, purpose: str) -> bytes:
        """A key of its own for another purpose, so that no two uses share one."""
        return hmac.digest(self._key, purpose.encode(), "sha256")

    def verify(self, token: str) -> Identity:
        """The caller of a token. Raises Unauthorized when it is broken, expired, or signed by someone else."""
        return self._of_ours(token) or self._of_any(token)

    def _of_ours(self, token: str) -> Identity | None:
        """The caller of a token as `sign` makes them, in a tenth of PyJWT's time; None for any other, good or bad.

        Raises Unauthorized when it has expired.
        """
        signed, _, signature = token.rpartition(".")
        head, _, claims = signed.partition(".")
        if head != _HEAD or not hmac.compare_digest(self._signature(signed), signature.encode()):
            return None
        try:
            told = _decode_claims(urlsafe_b64decode(f"{claims}{'=' * (-len(claims) % 4)}"))
        except (ValueError, msgspec.MsgspecError):
            return None
        now = self._wall()
        if told.iss != _ISSUER or told.iat > now:
            return None
        if told.exp <= now:
            raise _expired()
        return Identity(told.scope, told.sub)

    def _signature(self, signed: str) -> bytes:
        return urlsafe_b64encode(hmac.digest(self._key, signed.encode(), "sha256")).rstrip(b"=")

    def _of_any(self, token: str) -> Identity:
        try:
            claims = jwt.decode(
                token, self._key, algorithms=["HS256"], issuer=_ISSUER, options={"require": ["sub", "scope", "exp"]}
            )
        except jwt.ExpiredSignatureError as error:
            raise _expired() from error
        except jwt.PyJWTError as error:
            raise Unauthorized("the token is not valid here", code="bad_token") from error
        scope = claims["scope"]
        if scope not in get_args(Scope):
            raise Unauthorized("the token's scope is unknown", code="bad_token")
        return Identity(cast(Scope, scope), str(claims["sub"]))


class TicketUses(Protocol):
    """Which tickets were used, on any host."""

    async def first(self, ticket_id: str, keep_s: float) -> bool:
        """True for the first to ask within so many wall seconds. Raises Unavailable when that cannot be known."""
        ...


class MemoryTicketUses:
    """TicketUses of one process."""

    def __init__(self, wall: Callable[[], float] = time.monotonic) -> None:
        self._wall = wall
        self._until: dict[str, float] = {}  # the oldest first

    async def first(self, ticket_id: str, keep_s: float) -> bool:
        """True for the first to ask."""
        return self.note(ticket_id, keep_s)

    def note(self, ticket_id: str, keep_s: float) -> bool:
        """Note a use; False when there was one before."""
        now = self._wall()
        for old in list(itertools.takewhile(lambda each: self._until[each] < now, self._until)):
            del self._until[old]
        if ticket_id in self._until:
            return False
        self._until[ticket_id] = now + keep_s
        return True

    def __contains__(self, ticket_id: str) -> bool:
        return self._until.get(ticket_id, 0.0) >= self._wall()


class Tickets:
    """Tickets stand in for a token in a URL: good once, for a short time, so that nothing worth stealing is logged.

    A ticket is signed, so any host knows its caller; only that it was used has to be kept, by `uses`, for all hosts.
    """

    def __init__(self, key: bytes, ttl_s: float, uses: TicketUses, wall: Callable[[], float] = time.time) -> None:
        self._key = key
        self._ttl_s = ttl_s
        self._uses = uses
        self._wall = wall
        self._used_here = MemoryTicketUses()

    def issue(self, identity: Identity) -> str:
        """A fresh ticket for this caller."""
        claims = {"sub": identity.subject, "scope": identity.scope, "jti": secrets.token_urlsafe(12)}
        return jwt.encode(claims | {"exp": self._wall() + self._ttl_s}, self._key, algorithm="HS256")

    def caller(self, ticket: str) -> Identity:
        """The caller of a ticket, which is still to be used up. Raises Unauthorized where this host knows it is bad."""
        claims = self._claims(ticket)
        if claims["jti"] in self._used_here:
            raise _bad_ticket()
        return Identity(claims["scope"], claims["sub"])

    async def use(self, ticket: str) -> None:
        """Use a ticket up. Raises Unauthorized when it was used before, Unavailable when nobody can know that now."""
        claims = self._claims(ticket)
        first = await self._uses.first(claims["jti"], self._ttl_s)
        self._used_here.note(claims["jti"], self._ttl_s)
        if not first:
            raise _bad_ticket()

    async def redeem(self, ticket: str) -> Identity:
        """The caller of a ticket, which is used up. Raises as `use` does."""
        caller = self.caller(ticket)
        await self.use(ticket)
        return caller

    def _claims(self, ticket: str) -> dict[str, Any]:
        try:
            claims: dict[str, Any] = jwt.decode(
                ticket,
                self._key,
                algorithms=["HS256"],
                options={"require": ["sub", "scope", "jti", "exp"], "verify_exp": False},
            )
        except jwt.PyJWTError as error:
            raise _bad_ticket() from error
        if claims["exp"] < self._wall():
            raise _bad_ticket()
        return claims


def _bad_ticket() -> Unauthorized:
    return Unauthorized("the ticket is unknown, used or expired", code="bad_ticket")


def new_key() -> bytes:
    """A key for a new engine."""
    return secrets.token_bytes(32)
