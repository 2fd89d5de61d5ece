"""What /readyz answers: whether everything that a process needs answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

log = logging.getLogger("hexcab.probes")

Check = Callable[[], Awaitable[None]]  # raises what is wrong


async def readiness(checks: Mapping[str, Check], timeout_s: float) -> tuple[bool, dict[str, object]]:
    """Make every check, each for so long at most; returns whether all passed, and the body of the answer."""
    found = await asyncio.gather(*(_passes(name, check, timeout_s) for name, check in checks.items()))
    ready = all(outcome == "ok" for outcome in found)
    return ready, {"status": "ready" if ready else "not_ready", "checks": dict(zip(checks, found, strict=True))}


async def _passes(name: str, check: Check, timeout_s: float) -> str:
    try:
        async with asyncio.timeout(timeout_s):
            await check()
    except TimeoutError:
        return "timeout"
    except Exception:
        log.warning("readiness check failed", exc_info=True, extra={"check": name})
        return "failed"
    return "ok"
