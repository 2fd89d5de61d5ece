"""Who is calling: signed tokens (JWT, HS256) and one-use tickets for browsers' sockets."""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable
from typing import Literal, cast, get_args

import jwt
import msgspec

from core.errors import Unauthorized

Scope = Literal["rider", "driver", "ops", "view"]  # view: the operator feed alone, for an open console

_ISSUER = "hexcab"


class Identity(msgspec.Struct, frozen=True):
    """A caller: what they may do, and who they are."""

    scope: Scope
    subject: str


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
        try:
            claims = jwt.decode(
                token, self._key, algorithms=["HS256"], issuer=_ISSUER, options={"require": ["sub", "scope", "exp"]}
            )
        except jwt.ExpiredSignatureError as error:
            raise Unauthorized("the token has expired", code="token_expired") from error
        except jwt.PyJWTError as error:
            raise Unauthorized("the token is not valid here", code="bad_token") from error
        scope = claims["scope"]
        if scope not in get_args(Scope):
            raise Unauthorized("the token's scope is unknown", code="bad_token")
        return Identity(cast(Scope, scope), str(claims["sub"]))


class Tickets:
    """Tickets stand in for a token in a URL: good once, for a short time, so that nothing worth stealing is logged."""

    def __init__(self, ttl_s: float, wall: Callable[[], float] = time.monotonic, limit: int = 100_000) -> None:
        self._ttl_s = ttl_s
        self._wall = wall
        self._limit = limit
        self._tickets: dict[str, tuple[float, Identity]] = {}

    def issue(self, identity: Identity) -> str:
        """A fresh ticket for this caller."""
        self._drop_expired()
        if len(self._tickets) >= self._limit:  # dicts keep order: the first is the oldest
            del self._tickets[next(iter(self._tickets))]
        ticket = secrets.token_urlsafe(24)
        self._tickets[ticket] = (self._wall() + self._ttl_s, identity)
        return ticket

    def redeem(self, ticket: str) -> Identity:
        """The caller of a ticket, which is used up. Raises Unauthorized when it is unknown, used or too old."""
        expires, identity = self._tickets.pop(ticket, (0.0, None))
        if identity is None or expires < self._wall():
            raise Unauthorized("the ticket is unknown, used or expired", code="bad_ticket")
        return identity

    def _drop_expired(self) -> None:
        now = self._wall()
        while self._tickets:
            oldest = next(iter(self._tickets))
            if self._tickets[oldest][0] >= now:
                return
            del self._tickets[oldest]


def new_key() -> bytes:
    """A key for a new engine."""
    return secrets.token_bytes(32)
