"""Children of a benchmark: pinned to a core and always ended; their CPU seconds; C programs compiled on demand."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.harness import CannotRun

NATIVE = Path(__file__).parent / "native"
ROOT = Path(__file__).parent.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hexcab" / "benchmarks"
SERVER_CORE, CLIENT_CORE = 0, 1
ANSWER_S = 60.0  # the longest a child may take for one line
END_S = 5.0
_PR_SET_PDEATHSIG = 1


class Child:
    """A program that speaks lines on its standard input and output."""

    def __init__(self, argv: Sequence[str], core: int) -> None:
        self.argv = argv
        # text would be decoded line by line under our feet: the selector needs an unbuffered file
        self._process = subprocess.Popen(
            argv,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            preexec_fn=lambda: _settle(core),
        )
        self._pending = b""

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def write(self, text: str) -> None:
        """Send it text."""
        assert self._process.stdin is not None
        data = memoryview(text.encode())
        while data:
            data = data[self._process.stdin.write(data) :]

    def line(self, timeout_s: float = ANSWER_S) -> str:
        """Its next line. Raises CannotRun when it ends or stays silent."""
        assert self._process.stdout is not None
        deadline = time.monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._pending:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise CannotRun(f"{self.argv[0]} said nothing for {timeout_s:.0f} s")
                data = self._process.stdout.read(65_536)
                if not data:
                    raise CannotRun(f"{' '.join(self.argv[:3])} ended early, code {self._process.wait()}")
                self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        return line.decode()

    def answer(self, timeout_s: float = ANSWER_S) -> dict[str, Any]:
        """Its next line as a JSON object."""
        answer: dict[str, Any] = msgspec.json.decode(self.line(timeout_s))
        return answer

    def ask_to_end(self) -> None:
        """SIGTERM, also to one that is held."""
        self._process.send_signal(signal.SIGTERM)
        self._process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """End it for certain."""
        if self._process.poll() is None:
            self.ask_to_end()
            try:
                self._process.wait(END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def _settle(core: int) -> None:
    """In a child, before its program: stay on the core, and end with the benchmark however that ends."""
    os.sched_setaffinity(0, {core})
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@contextlib.contextmanager
def children() -> Iterator[list[Child]]:
    """A list to which children are added; all are ended on leaving, the last one first."""
    running: list[Child] = []
    try:
        yield running
    finally:
        for child in reversed(running):
            child.end()


def python(module: str, *arguments: str) -> list[str]:
    """The command line of one of our own programs."""
    return [sys.executable, "-m", module, *arguments]


def cpu_s(pid: int) -> float:
    """CPU seconds that the scheduler booked for every living thread of a process."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            total += int((task / "schedstat").read_text("ascii").split()[0])
    return total / 1e9


def needs_two_cores() -> None:
    """Raises CannotRun where a server and its client cannot have a core each."""
    if not hasattr(os, "sched_getaffinity") or not {SERVER_CORE, CLIENT_CORE} <= os.sched_getaffinity(0):
        raise CannotRun("this benchmark pins the server to core 0 and the client to core 1: it needs Linux and both")
    if not Path("/proc/self/schedstat").exists():
        raise CannotRun("this benchmark reads CPU seconds from /proc/PID/task/*/schedstat, which this kernel lacks")


def compiled(name: str) -> Path:
    """The C program native/NAME.c, compiled once per source into the cache.

    Raises CannotRun when there is no C compiler, or when it refuses the source.
    """
    source = NATIVE / f"{name}.c"
    cc = os.environ.get("CC") or shutil.which("cc")
    if cc is None:
        raise CannotRun("this benchmark needs a C compiler, such as gcc (Debian: apt-get install gcc libc6-dev)")
    digest = hashlib.sha256(source.read_bytes() + cc.encode()).hexdigest()[:16]
    program = CACHE / f"{name}-{digest}"
    if not program.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        fresh = program.with_suffix(f".{os.getpid()}")
        done = subprocess.run(
            [cc, "-O2", "-o", str(fresh), str(source), "-lm"], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise CannotRun(f"{cc} cannot compile {source.name}:\n{done.stderr.strip()}")
        fresh.replace(program)
    return program
