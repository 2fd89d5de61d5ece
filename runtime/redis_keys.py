"""Every Redis key that belongs to no room: presence, tickets, marks. What one script touches shares a hash tag."""

from __future__ import annotations

from runtime.presence import Subject

HOSTS = "hexcab:presence:hosts"  # sorted set of host ids, all of score 0; a dead one stays until it is reclaimed

# Hash tags whose slots lie 1,024 apart, in the middle of each sixteenth: whatever master of a cluster of up to sixteen
# loses its data, some mark goes with it.
_SPREAD = (
    "04s",
    "003",
    "pt6",
    "4x6",
    "0ay",
    "0e9",
    "4mt",
    "4i4",
    "265",
    "22u",
    "c0h",
    "6zp",
    "gio",
    "5f",
    "6o2",
    "6kr",
)


def marks(host_id: str) -> list[str]:
    """Strings of a host: the number of its last look. An older number means that what it wrote since is lost."""
    return [f"hexcab:mark:{{{tag}}}:{host_id}" for tag in _SPREAD]


def holder(subject: Subject) -> str:
    """Of a driver: string `EPOCH|HOST|BEFORE`, the host with the newest connection and the one before.

    Of a rider: hash of host id -> epoch. Both expire when no host tells of them anew.
    """
    return f"hexcab:presence:{{{subject.kind}:{subject.id}}}"


def subjects(host_id: str) -> str:
    """Sorted set of a host: `driver:ID` and `rider:ID` of who hangs there, all of score 0, so in their own order."""
    return f"hexcab:presence:{{host:{host_id}}}:subjects"


def member(subject: Subject) -> str:
    """Somebody, in the set of a host."""
    return f"{subject.kind}:{subject.id}"


def life(host_id: str) -> str:
    """String of a host: its address. Expires when the host gives no sign of life."""
    return f"hexcab:presence:{{host:{host_id}}}:life"


def used_ticket(ticket_id: str) -> str:
    """String of a ticket that was used; expires with the ticket."""
    return f"hexcab:ticket:{{{ticket_id}}}"
