"""Real PostgreSQL and MariaDB servers for tests: unprivileged, in a temporary folder, on a free port of loopback."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import asyncmy
import asyncpg

_START_S = 60.0
_PASSWORD = "hexcab-test"
_POSTGRES_BIN = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), Path("/usr/bin"))


def free_port() -> int:
    """A port of loopback that nobody has."""
    with socket.socket() as each:
        each.bind(("127.0.0.1", 0))
        return int(each.getsockname()[1])


class LocalServer:
    """A server process in a folder of its own. `kill` and `pause` are faults; `start` brings it back on its port."""

    user = "nobody"

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"hexcab-{type(self).__name__.lower()}-"))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        if self._as_user:
            os.chown(self.folder, pwd.getpwnam(self.user).pw_uid, -1)

    async def start(self) -> None:
        """Return once it answers."""
        log = self.folder / "log"
        log.touch()
        seen = log.stat().st_size
        self._process = self._launch(log)
        async with asyncio.timeout(_START_S):
            while b"ready " not in log.read_bytes()[seen:]:  # to accept connections, for connections
                if self._process.poll() is not None:
                    raise RuntimeError(log.read_text("utf-8", "replace")[-2_000:])
                await asyncio.sleep(0.05)

    def _launch(self, to: Path) -> subprocess.Popen[bytes]:
        with to.open("ab") as log:
            return subprocess.Popen(self.command(), stdout=log, stderr=log, cwd=self.folder, user=self._as_user)

    def kill(self) -> None:
        """kill -9, with every process that it started."""
        self._signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()

    def stop(self) -> None:
        """An orderly end, without waiting for clients."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(self.stop_signal)
            self._process.wait(_START_S)

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nobody answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def remove(self) -> None:
        """Stop and delete the folder."""
        if self._process is not None and self._process.poll() is None:
            self.resume()
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    stop_signal = signal.SIGINT

    def command(self) -> list[str]:
        raise NotImplementedError

    async def execute(self, statement: str, database: str | None = None) -> None:
        """Run a statement as the superuser."""
        raise NotImplementedError

    @property
    def _as_user(self) -> str | None:
        return self.user if os.getuid() == 0 else None

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        children = subprocess.run(["pgrep", "-P", str(self._process.pid)], capture_output=True, text=True, check=False)
        for pid in [self._process.pid, *map(int, children.stdout.split())]:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue

    def _run(self, *words: str | Path) -> None:
        done = subprocess.run(
            [*map(str, words)], cwd=self.folder, user=self._as_user, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)


class Postgres(LocalServer):
    """PostgreSQL. Durability is off unless `durable`: tests kill the server's processes, never the machine."""

    user = "postgres"

    def __init__(self, durable: bool = False) -> None:
        super().__init__()
        self._options = [] if durable else ["-c", "fsync=off", "-c", "full_page_writes=off"]
        self._run(_POSTGRES_BIN / "initdb", "-D", self.folder / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8")

    def command(self) -> list[str]:
        options = ["-c", f"unix_socket_directories={self.folder}", "-c", "listen_addresses=127.0.0.1"]
        options += ["-c", "max_connections=200", *self._options]
        return [str(_POSTGRES_BIN / "postgres"), "-D", str(self.folder / "data"), "-p", str(self.port), *options]

    async def execute(self, statement: str, database: str | None = None) -> None:
        connection = await asyncpg.connect(
            host="127.0.0.1", port=self.port, user="postgres", database=database or "postgres", timeout=5
        )
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    async def create(self, name: str) -> str:
        """A new, empty database; its URL."""
        await self.execute(f'CREATE DATABASE "{name}"')
        return f"postgresql+asyncpg://postgres@127.0.0.1:{self.port}/{name}"


class MariaDb(LocalServer):
    """MariaDB."""

    user = "mysql"
    stop_signal = signal.SIGTERM

    def __init__(self, durable: bool = False) -> None:
        super().__init__()
        self._options = [] if durable else ["--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0"]
        self._run(
            "mariadb-install-db",
            "--no-defaults",
            f"--datadir={self.folder / 'data'}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        )

    def command(self) -> list[str]:
        place = [f"--datadir={self.folder / 'data'}", f"--socket={self.folder / 's'}", f"--port={self.port}"]
        options = ["--bind-address=127.0.0.1", "--max-connections=200", "--skip-name-resolve", *self._options]
        return ["/usr/sbin/mariadbd", "--no-defaults", *place, *options]

    async def start(self) -> None:
        await super().start()
        await self.execute(f"CREATE OR REPLACE USER 'hexcab'@'%' IDENTIFIED BY '{_PASSWORD}'")
        await self.execute("GRANT ALL ON *.* TO 'hexcab'@'%'")

    async def execute(self, statement: str, database: str | None = None) -> None:
        connection = await asyncmy.connect(
            unix_socket=str(self.folder / "s"), user="root", db=database, connect_timeout=5, read_timeout=10
        )
        try:
            async with connection.cursor() as cursor:
                await cursor.execute(statement)
        finally:
            await connection.ensure_closed()

    async def create(self, name: str) -> str:
        """A new, empty database; its URL."""
        await self.execute(f"CREATE DATABASE `{name}`")
        return f"mysql+asyncmy://hexcab:{_PASSWORD}@127.0.0.1:{self.port}/{name}"
