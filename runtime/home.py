"""Where hexcab keeps things of a user: city packs, and data directories where no other is named."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def default_home() -> Path:
    """$HEXCAB_HOME, else the user's data directory of this platform."""
    if named := os.environ.get("HEXCAB_HOME"):
        return Path(named).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "hexcab"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "hexcab"
