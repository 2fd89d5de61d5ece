"""Shares are even, move as little as can be, and never overlap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.kafka.sharing import Claim, share_out


class Group:
    """Members that do as they are told: give up what they lost, and ask for another round then."""

    def __init__(self, partitions: int, *members: str) -> None:
        self.partitions = range(partitions)
        self.claims: dict[str, Claim] = {member: Claim() for member in members}
        self.rounds = 0

    def settle(self) -> int:
        """Rounds until nobody has to give anything up; checks each of them."""
        for rounds in range(1, 4):
            lost = self.round()
            if not lost:
                return rounds
            for member in lost:
                self.give_up(member)
        raise AssertionError("it does not come to rest")

    def round(self) -> dict[str, set[int]]:
        """One round; returns what each member has to give up."""
        shares = share_out(self.partitions, self.claims)
        assert shares.keys() == self.claims.keys()
        self.rounds += 1
        lost = {}
        for member, mine in shares.items():
            before = set(self.claims[member].partitions)
            if gone := before - set(mine):
                lost[member] = gone
            self.claims[member] = Claim(self.rounds, tuple(sorted(before | set(mine))))
        owned = [each for claim in self.claims.values() for each in claim.partitions]
        assert len(owned) == len(set(owned)), "a partition has two owners"
        self.shares = shares
        return lost

    def give_up(self, member: str) -> None:
        self.claims[member] = Claim(self.rounds, tuple(self.shares[member]))

    def owned(self) -> dict[str, set[int]]:
        return {member: set(claim.partitions) for member, claim in self.claims.items()}


def assert_even(group: Group) -> None:
    sizes = [len(mine) for mine in group.owned().values()]
    assert sum(sizes) == len(group.partitions)
    assert max(sizes) - min(sizes) <= 1


def test_the_only_member_gets_everything_at_once() -> None:
    group = Group(8, "a")
    assert group.settle() == 1
    assert group.owned() == {"a": set(range(8))}


def test_a_new_member_gets_its_share_only_after_the_owner_has_given_it_up() -> None:
    group = Group(8, "a")
    group.settle()
    group.claims["b"] = Claim()
    lost = group.round()
    assert len(lost["a"]) == 4
    assert group.owned()["b"] == set()
    group.give_up("a")
    assert group.round() == {}
    assert group.owned()["b"] == lost["a"]


def test_what_a_dead_member_had_is_shared_out_at_once_and_nothing_else_moves() -> None:
    group = Group(9, "a", "b", "c")
    group.settle()
    before = group.owned()
    del group.claims["b"]
    assert group.round() == {}
    assert_even(group)
    assert before["a"] <= group.owned()["a"]
    assert before["c"] <= group.owned()["c"]


def test_who_was_away_meanwhile_loses_what_others_got() -> None:
    group = Group(4, "a", "b")
    group.settle()
    asleep = group.claims.pop("b")
    group.settle()
    group.claims["b"] = asleep  # it believes to own what "a" has now
    shares = share_out(group.partitions, group.claims)
    assert shares["b"] == []


def test_a_claim_to_a_partition_that_is_not_there_is_nothing() -> None:
    assert share_out(range(2), {"a": Claim(3, (1, 7)), "b": Claim()}) == {"a": [1], "b": [0]}
    assert share_out(range(2), {}) == {}


@given(
    partitions=st.integers(1, 40),
    changes=st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans()), min_size=1, max_size=12),
)
def test_whoever_comes_and_goes_it_comes_to_rest_evenly_and_without_needless_moves(
    partitions: int, changes: list[tuple[str, bool]]
) -> None:
    group = Group(partitions, "z")
    group.settle()
    for member, comes in changes:
        before = group.owned()
        if comes:
            group.claims.setdefault(member, Claim())
        else:
            group.claims.pop(member, None)
        group.settle()
        assert_even(group)
        free = set(group.partitions).difference(*(mine for name, mine in before.items() if name in group.claims))
        moved = sum(len(mine - before.get(name, set())) for name, mine in group.owned().items()) - len(free)
        quota = -(-partitions // len(group.claims))
        assert moved <= max(0, quota), "more moved than a new member can need"


@pytest.mark.parametrize("partitions", [1, 5])
def test_more_members_than_partitions_leaves_some_with_nothing(partitions: int) -> None:
    group = Group(partitions, *"abcdefgh")
    group.settle()
    assert_even(group)
