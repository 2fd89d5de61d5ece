"""What a directory of services remembers: ports, passwords and processes, in one file that only its owner reads."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from core.errors import BadFile, Conflict, Unavailable
from runtime.services.model import Entry, Node


class State:
    """The remembered services by name. Changes are on disk, whole, before the call returns; threads may share one."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "state.json"
        self._lock = folder / "lock"
        self._guard = threading.Lock()
        self._entries = self._read()

    def entries(self) -> dict[str, Entry]:
        """A copy of everything."""
        with self._guard:
            return dict(self._entries)

    def get(self, name: str) -> Entry | None:
        """One service, or None where it was never set up."""
        with self._guard:
            return self._entries.get(name)

    def put(self, name: str, entry: Entry) -> None:
        """Remember a service. Raises Unavailable; the earlier state is kept then."""
        with self._guard:
            self._write({**self._entries, name: entry})

    def put_node(self, name: str, node: Node) -> Entry:
        """Remember a node in the place of the one of its name."""
        with self._guard:
            entry = self._entries[name]
            nodes = tuple(node if each.name == node.name else each for each in entry.nodes)
            entry = msgspec.structs.replace(entry, nodes=nodes)
            self._write({**self._entries, name: entry})
            return entry

    @contextlib.contextmanager
    def held(self, timeout_s: float) -> Iterator[None]:
        """Be the only one to change the directory, waiting for another's turn to end; reads the state anew.

        Raises Conflict (code services_busy) when that takes too long.
        """
        with self._lock.open("a") as lock:
            end = time.monotonic() + timeout_s
            while not _take(lock.fileno()):
                if time.monotonic() > end:
                    raise Conflict(f"another command works on {self._lock.parent}", code="services_busy")
                time.sleep(0.1)
            with self._guard:
                self._entries = self._read()
            yield

    def _read(self) -> dict[str, Entry]:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=dict[str, Entry])
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise Unavailable(f"{self._file} cannot be read: {error.strerror}") from error
        except msgspec.MsgspecError as error:
            raise BadFile(f"{self._file}: {error}") from error

    def _write(self, entries: dict[str, Entry]) -> None:
        fresh = self._file.with_suffix(".new")
        try:
            with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
                stream.write(msgspec.json.format(msgspec.json.encode(entries)))
                stream.flush()
                os.fsync(stream.fileno())
            fresh.replace(self._file)
        except OSError as error:
            raise Unavailable(f"{self._file} cannot be written: {error.strerror}") from error
        self._entries = entries


def _take(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
