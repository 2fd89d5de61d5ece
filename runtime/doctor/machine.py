"""This machine: the data directory and its key, the room on the disk, and the files that a process may open."""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Sequence
from pathlib import Path

from runtime.doctor.findings import Finding, Status, graded
from runtime.doctor_settings import DoctorSettings

Wrong = list[tuple[Status, str, str]]


async def look_at_machine(folder: Path, settings: DoctorSettings) -> Sequence[Finding]:
    """The lines of the data directory and of this process's limits."""
    return [*_folder(folder, settings), *_files(settings)]


def _folder(folder: Path, settings: DoctorSettings) -> list[Finding]:
    there = folder
    while not there.exists():
        there = there.parent
    wrong: Wrong = []
    usage = shutil.disk_usage(there)
    free = usage.free / max(usage.total, 1)
    if not there.is_dir():
        wrong.append(("fail", f"{there} is no directory", "choose another --data-dir"))
    elif not os.access(there, os.W_OK | os.X_OK):
        wrong.append(("fail", f"{there} cannot be written", "give it to the user who runs hexcab"))
    elif free < settings.free_disk_share:
        detail = f"{free:.0%} of its disk are free ({usage.free / 1e9:.1f} GB)"
        wrong.append(("warn", detail, "make room: an engine whose disk is full takes no rides"))
    key = folder / "server.key"
    if key.exists() and key.stat().st_mode & 0o077:
        wrong.append(("fail", f"{key} may be read by others, who can sign tokens with it", f"chmod 600 {key}"))
    state = "there" if folder.exists() else "not there yet, a start makes it"
    return graded("data directory", wrong, f"{folder} is {state}, {usage.free / 1e9:.1f} GB are free")


def _files(settings: DoctorSettings) -> list[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wrong: Wrong = []
    if soft < settings.open_files:
        detail = f"a process may open {soft} files, and each socket is one"
        wrong.append(("warn", detail, f"ulimit -n {settings.open_files}, or LimitNOFILE= of its systemd unit"))
    return graded("open files", wrong, f"{soft} of at most {hard}")
