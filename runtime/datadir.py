"""The data directory: everything of one running engine, held by one process at a time."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
from pathlib import Path
from types import TracebackType

from core.errors import Conflict, InvalidInput, Unavailable
from runtime.auth import new_key

# sun_path holds 108 bytes on Linux and 104 on macOS, the closing zero included
_SOCKET_PATH_MAX = 103


class DataDir:
    """A directory with a key, SQL files and the Redis socket. Use as a context manager to hold it."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: int | None = None

    def __enter__(self) -> DataDir:
        """Create it where missing and take it.

        Raises Conflict (code data_dir_in_use) when another engine holds it, Unavailable when it cannot be written (code
        disk_full where that is why), and InvalidInput (code socket_path_too_long) when a unix socket inside would not
        fit the system's limit.
        """
        if len(os.fsencode(self.valkey_socket)) > _SOCKET_PATH_MAX:
            raise InvalidInput(
                f"the data directory's path is too long: {self.valkey_socket} has "
                f"{len(os.fsencode(self.valkey_socket))} bytes and a unix socket's path may have {_SOCKET_PATH_MAX}; "
                "choose a shorter --data-dir",
                code="socket_path_too_long",
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise _unavailable(f"the data directory {self.path} cannot be used", error) from error
        try:
            self._hold(lock)
        except BaseException:
            os.close(lock)
            raise
        self._lock = lock
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _hold(self, lock: int) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(lock, 0)
            os.pwrite(lock, str(os.getpid()).encode(), 0)
        except BlockingIOError as error:
            holder = os.pread(lock, 20, 0).decode("ascii", "replace").strip()
            raise Conflict(
                f"another engine (process {holder or 'unknown'}) is running on {self.path}; stop it, or choose "
                "another --data-dir",
                code="data_dir_in_use",
            ) from error
        except OSError as error:
            raise _unavailable(f"the data directory {self.path} cannot be held", error) from error

    @property
    def valkey_socket(self) -> Path:
        """Where the embedded Redis server listens."""
        return self.path / "valkey" / "s"

    @property
    def sql_url(self) -> str:
        """The engine's main database."""
        return f"sqlite+aiosqlite:///{self.path / 'hexcab.db'}"

    @property
    def archive_url(self) -> str:
        """Trails and archived trips."""
        return f"sqlite+aiosqlite:///{self.path / 'archive.db'}"

    def key(self) -> bytes:
        """The server's signing key, made at first use; readable by its owner only."""
        file = self.path / "server.key"
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            fresh = file.with_name(f"server.key.{os.getpid()}")
            if not file.exists():
                fresh.write_bytes(new_key())
                fresh.chmod(0o600)
                try:
                    os.link(fresh, file)  # whoever links first wins: two processes never use two keys
                except FileExistsError:
                    pass
                finally:
                    fresh.unlink()
            return file.read_bytes()
        except OSError as error:
            raise _unavailable(f"the key {file} cannot be used", error) from error

    def remember(self, name: str, value: object) -> None:
        """Keep a small JSON value over restarts. Raises Unavailable; the earlier value is kept then."""
        file = self._value(name)
        fresh = file.with_suffix(".new")
        try:
            with fresh.open("w", encoding="utf-8") as stream:
                stream.write(json.dumps(value))
                stream.flush()
                os.fsync(stream.fileno())  # or a machine that loses power may leave an empty file under the name
            fresh.replace(file)
        except OSError as error:
            with contextlib.suppress(OSError):
                fresh.unlink()
            raise _unavailable(f"{file} cannot be written", error) from error

    def recall(self, name: str) -> object:
        """A value that `remember` kept, or None where there is none that can be understood. Raises Unavailable."""
        file = self._value(name)
        try:
            value: object = json.loads(file.read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        except OSError as error:
            raise _unavailable(f"{file} cannot be read", error) from error
        return value

    def _value(self, name: str) -> Path:
        return self.path / f"{name}.json"


def _unavailable(what: str, error: OSError) -> Unavailable:
    code = "disk_full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else None
    return Unavailable(f"{what}: {error.strerror or error}", code=code)
