"""Roles: the parts of the engine that a process may play. One process plays all of them by default."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Final, Literal, get_args

Role = Literal["edge", "gateway", "dispatch", "trips", "archiver"]

ROLES: Final[tuple[Role, ...]] = get_args(Role)
ALL: Final[AbstractSet[Role]] = frozenset(ROLES)

# the consumer groups of each role, whose events its hosts share; each host has one more for the map, each edge host one
# for its board
GROUPS: Final[dict[Role, tuple[str, ...]]] = {
    "edge": (),
    "gateway": (),
    "dispatch": ("dispatch",),
    "trips": ("audience", "billing", "ratings", "journal"),
    "archiver": (),
}


def roles_of(word: str) -> AbstractSet[Role]:
    """The roles that `--role` names: `all`, or one."""
    return ALL if word == "all" else frozenset(role for role in ROLES if role == word)
