"""The settings of `hexcab doctor`: how long it asks, and from where on it warns."""

from __future__ import annotations

from typing import Annotated

import msgspec


class DoctorSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `hexcab doctor` takes for well. Times are wall seconds."""

    check_timeout_s: float = 15.0  # for all that is asked of one engine
    clock_difference_s: float = 1.0  # between this machine and a server
    free_disk_share: Annotated[float, msgspec.Meta(lt=1)] = 0.1  # of the data directory's file system
    open_files: int = 65_536  # that this process may have open; a driver's socket is one
