"""Where riders are expected, and so where idle cabs should wait.

Past requests stand for the coming ones of the same time of day. The next ones in sight are cut into as many equal
parts as there are cabs to spread, along a curve that keeps near places together; each part gets one cab, and all
drive as little as possible together. Idea of a spread by expected demand: Liu and Samaranayake, Proactive rebalancing
and speed-up techniques for on-demand high capacity ridesourcing services, 2020.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.geo import FloatArray, IntArray

_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Outlook:
    """Past requests: seconds of the day, rising, and the posts of their pickups, both of shape (n,)."""

    at: FloatArray
    post: IntArray

    @staticmethod
    def of(at: FloatArray, post: IntArray) -> Outlook:
        """From epoch seconds in any order."""
        of_day = at % _DAY_S
        order = np.argsort(of_day, kind="stable")
        return Outlook(of_day[order], post[order])

    def expected(self, now: float, ahead_s: float) -> IntArray:
        """The posts of the requests that are expected from now (epoch seconds) on, in the order of the posts."""
        begin = now % _DAY_S
        last = begin + ahead_s
        places = np.arange(np.searchsorted(self.at, begin), np.searchsorted(self.at, last))
        past_midnight = np.arange(np.searchsorted(self.at, last - _DAY_S))
        return np.sort(self.post[np.concatenate([places, past_midnight])])


def spread(posts: IntArray, cabs: int) -> IntArray:
    """One post for each of `cabs` equal parts of expected requests `posts` (n,), n > 0, ordered along the curve."""
    return posts[((np.arange(cabs) + 0.5) / cabs * len(posts)).astype(np.int64)]
