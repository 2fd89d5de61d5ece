"""A bounded memory of what was met lately."""

from __future__ import annotations

from collections.abc import Hashable


class Recent[Key: Hashable]:
    """The last `most` things that were added; older ones are forgotten first."""

    def __init__(self, most: int) -> None:
        assert most > 0
        self._most = most
        self._keys: dict[Key, None] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: Key) -> bool:
        return key in self._keys

    def add(self, key: Key) -> bool:
        """Remember it; False when it is remembered already."""
        if key in self._keys:
            return False
        self._keys[key] = None
        if len(self._keys) > self._most:
            del self._keys[next(iter(self._keys))]
        return True
