"""Drives a real `hexcab serve` from outside: start, wait until it is ready, kill, start again on the same data."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

HEXCAB = [sys.executable, "-m", "app.cli"]


def free_port() -> int:
    """A port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def hexcab(*words: str, timeout_s: float = 120, **environment: Any) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [*HEXCAB, *words], capture_output=True, text=True, timeout=timeout_s, check=False, **environment
    )


def _toml(value: Any) -> str:
    """A value as TOML writes it in one line."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{name} = {_toml(each)}' for name, each in value.items())} }}"
    return json.dumps(value)


@dataclass
class EngineProcess:
    """One engine on one data directory; ports stay the same over restarts so that clients find it again."""

    data_dir: Path
    city: str = "gothenburg"
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    gateway_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    home: Path | None = None  # of city packs
    role: str = "all"
    ready: str = ""  # whose 200 says that it is ready; empty: /readyz of the API
    environment: dict[str, str] = field(default_factory=dict)  # besides ours

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def gateway_url(self) -> str:
        return f"ws://127.0.0.1:{self.gateway_port}"

    @property
    def log(self) -> Path:
        return self.data_dir.parent / f"{self.data_dir.name}.log"

    def command(self) -> list[str]:
        words = [*HEXCAB, "serve", "--city", self.city, "--data-dir", str(self.data_dir)]
        words += ["--port", str(self.port), "--gateway-port", str(self.gateway_port)]
        if self.role != "all":
            words += ["--role", self.role]
        if self.settings:
            file = self.data_dir.parent / f"{self.data_dir.name}.toml"
            lines = [
                line
                for table, values in self.settings.items()
                for line in (f"[{table}]", *(f"{name} = {_toml(value)}" for name, value in values.items()))
            ]
            file.write_text("\n".join(lines))
            words += ["--settings", str(file)]
        return words

    async def start(self, timeout_s: float = 60) -> None:
        """Start and wait until /readyz says 200; raises with the end of the log when it does not."""
        self.process = process = self.spawn()
        async with httpx.AsyncClient() as client:
            for _ in range(int(timeout_s / 0.05)):
                if process.poll() is not None:
                    raise AssertionError(f"the engine ended with {process.returncode}:\n{self.last_words()}")
                try:
                    if (await client.get(self.ready or f"{self.url}/readyz")).status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.05)
        raise AssertionError(f"the engine was not ready in {timeout_s} s:\n{self.last_words()}")

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start the process and do not wait for anything."""
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self.command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self._environment()
            )

    def kill(self) -> None:
        """SIGKILL: nothing is said, nothing is saved."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    async def stop(self) -> int:
        """SIGTERM, and the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            return await asyncio.to_thread(self.process.wait, 30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def _environment(self) -> dict[str, str]:
        return {**os.environ, **({"HEXCAB_HOME": str(self.home)} if self.home else {}), **self.environment}

    async def metric(self, name: str) -> float:
        """The value of an unlabelled metric."""
        async with httpx.AsyncClient() as client:
            text = (await client.get(f"{self.url}/metrics")).text
        return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} "))

    def last_words(self) -> str:
        return self.log.read_text("utf-8", "replace")[-4000:]

    def token(self, scope: str, subject: str | None = None) -> str:
        """A token signed with this engine's key."""
        words = ["token", scope, "--data-dir", str(self.data_dir), *(["--id", subject] if subject else [])]
        done = hexcab(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()
