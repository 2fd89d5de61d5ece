"""One line of the doctor, and how a check comes to its lines in bounded time, whatever it meets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from core.clock import Clock
from core.errors import HexcabError
from runtime.doctor_settings import DoctorSettings

_log = logging.getLogger("hexcab.doctor")

Status = Literal["ok", "warn", "fail"]
RANK: tuple[Status, ...] = ("ok", "warn", "fail")


class Finding(msgspec.Struct, frozen=True):
    """What was found: of what, how it is, what it is, and where it is not well what to do."""

    check: str
    status: Status
    detail: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Examination:
    """One thing to look at. `look` may raise anything; `remedy` is what to do when it cannot be asked at all."""

    check: str
    look: Callable[[], Awaitable[Sequence[Finding]]]
    remedy: str


@dataclass(frozen=True, slots=True)
class Standards:
    """What is taken for well, and this machine's time of day."""

    settings: DoctorSettings
    clock: Clock


def graded(check: str, wrong: Sequence[tuple[Status, str, str]], well: str) -> list[Finding]:
    """A line for each thing that is wrong (status, detail, remedy), or one that says what is well."""
    if wrong:
        return [Finding(check, *each) for each in wrong]
    return [Finding(check, "ok", well)]


def clock_wrong(ahead_s: float, standards: Standards) -> list[tuple[Status, str, str]]:
    """What is wrong with a server's clock that is so far ahead of ours."""
    if abs(ahead_s) <= standards.settings.clock_difference_s:
        return []
    where = "ahead of" if ahead_s > 0 else "behind"
    return [("warn", f"its clock is {abs(ahead_s):.1f} s {where} this machine's", "run NTP on both machines")]


async def examine(examination: Examination, timeout_s: float) -> Sequence[Finding]:
    """The lines of one check. Never raises, and takes no longer than `timeout_s`."""
    check, remedy = examination.check, examination.remedy
    try:
        async with asyncio.timeout(timeout_s):
            return await examination.look()
    except TimeoutError:
        return [Finding(check, "fail", f"no answer within {timeout_s:g} s", remedy)]
    except HexcabError as error:
        return [Finding(check, "fail", " ".join(error.detail.split()), remedy)]
    except Exception as error:  # whatever an engine's client raises is a line, too
        _log.info("a check failed", exc_info=True, extra={"check": check})
        return [Finding(check, "fail", " ".join(f"{type(error).__name__}: {error}".split()), remedy)]
