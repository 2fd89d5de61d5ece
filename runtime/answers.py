"""The first answer to an ask that came with an Idempotency-Key."""

from __future__ import annotations

import msgspec

KEY_KEPT = "key_kept"  # the code of a Conflict: this key was answered meanwhile


class StoredAnswer(msgspec.Struct, frozen=True):
    """What was answered the first time."""

    status: int
    body: str


class FirstAnswer:
    """An answer that is kept in the transaction that makes it true.

    Whoever makes it true calls `say`, hands it to the store, and finds `kept` true after the commit.
    """

    def __init__(self, scope_key: str, body_hash: str) -> None:
        self.scope_key = scope_key
        self.body_hash = body_hash
        self.answer = StoredAnswer(0, "")
        self.kept = False

    def say(self, status: int, body: str) -> FirstAnswer:
        """This is the answer."""
        self.answer = StoredAnswer(status, body)
        return self
