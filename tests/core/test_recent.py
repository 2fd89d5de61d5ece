"""The bounded memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core.recent import Recent


@given(st.lists(st.integers(0, 8)), st.integers(1, 4))
def test_it_knows_the_last_things_that_were_new_and_never_more(things: list[int], most: int) -> None:
    recent: Recent[int] = Recent(most)
    kept: list[int] = []
    for each in things:
        is_new = each not in kept
        assert recent.add(each) is is_new
        if is_new:
            kept = [*kept, each][-most:]
        assert [number for number in range(9) if number in recent] == sorted(kept)
        assert len(recent) == len(kept)
