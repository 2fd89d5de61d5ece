"""Processes that outlive the command that started them: start, recognise, stop, and what they said last."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import psutil

from core.errors import Unavailable
from runtime.services.model import Node, Runner
from runtime.services.places import Account

_TAIL_BYTES = 8_192
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_COMPLAINT = re.compile(r"\b(error|fatal|exception)\b", re.IGNORECASE)


def birth(pid: int) -> str:
    """What tells a process from a later one with the same pid; empty where no such process runs.

    On Linux the boot and the clock ticks from it to the start, which setting the wall's clock does not move.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return ""
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
            boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
            return f"{boot}:{fields[19]}"  # starttime, the 22nd field of the line
        return f"{process.create_time():.2f}"
    except psutil.Error:
        return ""


def alive(node: Node) -> bool:
    """Whether the very process that was started for the node is still there. One that ended leaves nothing behind then.

    A child that nobody waits for would stay as a zombie, and PostgreSQL would not start again beside the one before.
    """
    if node.pid <= 0:
        return False
    now = birth(node.pid)
    if not now:
        with contextlib.suppress(ChildProcessError):  # somebody else's child
            os.waitpid(node.pid, os.WNOHANG)
    return now != "" and now == node.birth


def start(words: Sequence[str], folder: Path, account: Account | None, log: Path) -> tuple[int, str]:
    """Start a server in a session of its own, its output added to the log; gives pid and birth. Raises Unavailable."""
    try:
        with log.open("ab") as output:
            process = subprocess.Popen(
                list(words),
                cwd=folder,
                env=_environment(folder),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the command alone
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
            )
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(f"{words[0]} cannot be started: {error}") from error
    process.returncode = 0  # it is meant to outlive us, which Python would warn of when it forgets the handle
    return process.pid, birth(process.pid)


def stop(nodes: Sequence[tuple[Node, signal.Signals]], timeout_s: float) -> None:
    """End nodes by the signals given with them, all at the same time, and with SIGKILL what is left after the time."""
    family: list[psutil.Process] = []
    for node, sign in nodes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(node.pid)
            if alive(node):
                family += [process, *process.children(recursive=True)]
                process.send_signal(sign)
                process.send_signal(signal.SIGCONT)  # one that was paused hears nothing else
    _, left = psutil.wait_procs(family, timeout_s)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout_s)


def runner(folder: Path, account: Account | None, timeout_s: float) -> Runner:
    """Helper programs run as the account in the folder; see Runner."""

    def run(words: list[str], *, text: str = "", env: dict[str, str] | None = None) -> str:
        program = Path(words[0]).name
        try:
            done = subprocess.run(
                words,
                cwd=folder,
                env=_environment(folder) | (env or {}),
                input=text,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout_s,
                check=False,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
            )
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"{program} did not end within {timeout_s:g} s") from error
        except (OSError, subprocess.SubprocessError) as error:
            raise Unavailable(f"{program} cannot be run: {error}") from error
        if done.returncode:
            said = _complaint(f"{done.stdout}\n{done.stderr}")
            raise Unavailable(f"{program} failed with code {done.returncode}: {said}")
        return done.stdout

    return run


def last_words(log: Path) -> str:
    """The last line of a log that complains; where none does, the last that says something."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - _TAIL_BYTES))
            text = stream.read().decode("utf-8", "replace")
    except OSError:
        text = ""
    lines = _lines(text)
    complaints = [line for line in lines if _COMPLAINT.search(line)]
    return (complaints or lines or ["it said nothing"])[-1]


def _complaint(text: str) -> str:
    """The first line that complains, as programs explain themselves after it; where none does, the last."""
    lines = _lines(text) or ["it said nothing"]
    return next((line for line in lines if _COMPLAINT.search(line)), lines[-1])


def _lines(text: str) -> list[str]:
    return [line.strip() for line in _COLOUR.sub("", text).splitlines() if line.strip()]


def _environment(folder: Path) -> dict[str, str]:
    """Nothing of ours: what a developer has set for servers of their own must not reach these."""
    return {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder), "LANG": "C.UTF-8", "TZ": "UTC"}
