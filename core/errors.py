"""Errors that cross rooms. Each carries a stable code; runtime/problems.py alone turns one into a status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field of an input: where it is, and what is wrong with it."""

    field: str
    detail: str


class HexcabError(Exception):
    """Base of every error that a user of hexcab may see.

    `code` is stable and for programs; `detail` names what is wrong and is for people. `more` goes out with it as JSON.
    """

    default_code: ClassVar[str] = "internal"

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        errors: tuple[FieldError, ...] = (),
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or self.default_code
        self.errors = errors
        self.more = dict(more or {})


class InvalidInput(HexcabError):
    """What was sent cannot be understood or breaks a rule; sending it again will not help."""

    default_code = "invalid_input"


class Unauthorized(HexcabError):
    """No token, or one that is broken, expired or not ours."""

    default_code = "unauthorized"


class Forbidden(HexcabError):
    """The token is good but its scope does not allow this."""

    default_code = "forbidden"


class NotFound(HexcabError):
    """It does not exist, or it is someone else's: the two must look the same."""

    default_code = "not_found"


class Conflict(HexcabError):
    """It was fine to ask, but the present state forbids it (already taken, already ended)."""

    default_code = "conflict"


class TooMany(HexcabError):
    """A rate limit was met; `retry_after_s` says when to come again."""

    default_code = "too_many"

    def __init__(self, detail: str, *, retry_after_s: float, code: str | None = None) -> None:
        super().__init__(detail, code=code)
        self.retry_after_s = retry_after_s


class Unavailable(HexcabError):
    """A store or a server this needs is away; nothing was acknowledged. `retry_after_s` is a hint."""

    default_code = "unavailable"

    def __init__(self, detail: str, *, retry_after_s: float = 2.0, code: str | None = None) -> None:
        super().__init__(detail, code=code)
        self.retry_after_s = retry_after_s


class BadFile(HexcabError):
    """A file that cannot be used; the detail names the file and, where known, the row and column."""

    default_code = "bad_file"
