"""A wrong clock: a process that sees the wall's time shifted by skew.c. The engine itself knows nothing of it.

The monotonic clock stays right, as it does on a machine whose time was set wrong. The shift may change while the
process runs: then its time steps. libfaketime would do the same, but sleeps fail under it once the monotonic clock is
left alone.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

_SOURCE = Path(__file__).with_name("skew.c")


def compiler() -> str | None:
    """What compiles skew.c; None where clocks cannot be made wrong: without one, or not on Linux."""
    return (os.environ.get("CC") or shutil.which("cc")) if sys.platform == "linux" else None


class Skew:
    """The clock of one process, right at first. Keeps its files in a folder, under a name."""

    def __init__(self, folder: Path, name: str) -> None:
        self._file = folder / f"{name}.skew"
        self._library = folder / "skew.so"
        self.set(0.0)

    def environment(self) -> dict[str, str]:
        """What the process has to be started with. Raises CalledProcessError where skew.c does not compile."""
        if not self._library.exists():
            cc = compiler()
            assert cc is not None, "without a C compiler no clock can be made wrong"
            command = [cc, "-O2", "-shared", "-fPIC", "-o", str(self._library), str(_SOURCE), "-ldl"]
            subprocess.run(command, check=True, capture_output=True)
        return {"LD_PRELOAD": str(self._library), "SKEW_FILE": str(self._file)}

    def set(self, seconds: float) -> None:
        """From now on its clock is so far ahead of ours; negative: behind."""
        with open(os.open(self._file, os.O_WRONLY | os.O_CREAT, 0o600), "wb", buffering=0) as file:
            file.write(struct.pack("=q", round(seconds * 1e9)))
