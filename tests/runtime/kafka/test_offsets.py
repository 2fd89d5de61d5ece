"""What may be committed of a partition never passes a message that is not handled."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runtime.kafka.offsets import Offsets


def test_nothing_may_be_committed_before_the_first_message() -> None:
    assert (Offsets().committable, Offsets().next, Offsets().oldest_at, len(Offsets())) == (None, None, None, 0)


def test_a_message_that_waits_holds_the_commit_back_and_lets_it_go_all_at_once() -> None:
    offsets = Offsets()
    for offset in (7, 8, 10):  # brokers leave gaps
        offsets.take(offset, at=offset / 10)
    offsets.done(8)
    offsets.done(10)
    assert (offsets.committable, offsets.next, offsets.oldest_at, len(offsets)) == (7, 11, 0.7, 1)
    offsets.done(7)
    assert (offsets.committable, offsets.oldest_at, len(offsets)) == (11, None, 0)


@given(st.lists(st.integers(1, 3), min_size=1, max_size=30), st.data())
def test_everything_before_the_committable_offset_is_handled_and_it_is_the_last_such(
    steps: list[int], data: st.DataObject
) -> None:
    offsets, taken, open_ = Offsets(), [], []
    offset = 0
    for step in steps:
        offset += step
        offsets.take(offset, 0.0)
        taken.append(offset)
        open_.append(offset)
        for done in data.draw(st.lists(st.sampled_from(open_), unique=True)) if open_ else []:
            offsets.done(done)
            open_.remove(done)
        committable = offsets.committable
        assert committable is not None
        assert all(each not in open_ for each in taken if each < committable)
        assert committable == (min(open_) if open_ else taken[-1] + 1)
        assert len(offsets) == len(open_)
