"""How the distance that a trip drove is told from its trail."""

from __future__ import annotations

import msgspec


class DrivenSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What of a trail can be true, and what is put where there is none."""

    top_speed_mps: float = 50.0  # a ping that no car can have reached so fast is left out
    stray_m: float = 50.0  # by which two pings may be wrong together
    stand_m: float = 40.0  # a car whose pings stay within this of their mean stands
    stand_s: float = 60.0  # and this long
    stray_s: float = 20.0  # for which pings of a car that stands may be elsewhere
    unseen_s: float = 20.0  # of a ride before the first or after the last ping: more is a hole
    near_m: float = 30.0  # a shorter hole is counted as the crow flies and is none
    haste: float = 1.5  # a hole's way that the car would have had to drive this many times faster was not driven
    bridged_share: float = 0.5  # of the distance: with more of it unseen it is not trusted
    guessed_share: float = 0.02  # of the distance that may be as the crow flies, or beside the roads
