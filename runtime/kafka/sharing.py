"""Who gets which partition: even shares, as few moves as can be, and no partition owned by two at a time.

Pure. A partition that is to move stays with nobody else until its owner has given it up: it is held back in this round,
and the owner, who sees that it has lost it, asks for another. So searches go on undisturbed in the regions that stay.
(The manner of Kafka's incremental cooperative rebalancing, KIP-429, on clients that know only the older protocol.)
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec


class Claim(msgspec.Struct, frozen=True, array_like=True):
    """What a process says of itself when it joins: what it owns, and since which round it knows so."""

    round: int = 0
    partitions: tuple[int, ...] = ()


def owners(claims: Mapping[str, Claim]) -> dict[int, str]:
    """The owner of each partition that anybody claims. The latest round knows best: others were away since."""
    found: dict[int, str] = {}
    for member in sorted(claims, key=lambda each: (claims[each].round, each)):
        found.update(dict.fromkeys(claims[member].partitions, member))
    return found


def share_out(partitions: Collection[int], claims: Mapping[str, Claim]) -> dict[str, list[int]]:
    """What each member owns after this round; what has to move is in no list while its owner still has it.

    Once all owners have given up what they lost, a further round gives every partition to somebody, and no two members'
    numbers of partitions differ by more than one.
    """
    owner = {each: who for each, who in owners(claims).items() if each in set(partitions)}
    wanted = _targets(sorted(partitions), owner, sorted(claims))
    return {member: [each for each in mine if owner.get(each, member) == member] for member, mine in wanted.items()}


def _targets(partitions: Sequence[int], owner: Mapping[int, str], members: Sequence[str]) -> dict[str, list[int]]:
    if not members:
        return {}
    owned: dict[str, list[int]] = {member: [] for member in members}
    for each in partitions:
        if each in owner:
            owned[owner[each]].append(each)
    least, more = divmod(len(partitions), len(members))
    # who has most keeps the one more that some members have to have
    by_size = sorted(members, key=lambda member: -len(owned[member]))
    quota = {member: least + (place < more) for place, member in enumerate(by_size)}
    target = {member: owned[member][: quota[member]] for member in members}
    kept = {each for mine in target.values() for each in mine}
    rest = [each for each in partitions if each not in kept]
    for member in members:
        room = quota[member] - len(target[member])
        target[member] += rest[:room]
        del rest[:room]
    assert not rest
    return {member: sorted(mine) for member, mine in target.items()}
