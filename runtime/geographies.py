"""Geographies: several clusters of one deployment, each with stores of its own, and which of them answer now.

Apps ask any of them where to go (`GET /v1/config`). One that is lost is left out; the others share nothing with it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

import httpx

from core.geo import LatLng, haversine_m
from runtime.settings import ClusterSettings, Geography

_log = logging.getLogger("hexcab.geographies")

Probe = Callable[[str], Awaitable[bool]]


class Geographies:
    """The geographies of the settings; call `look` now and then. Before the first look all of them count as up."""

    def __init__(self, settings: ClusterSettings, probe: Probe) -> None:
        self._all = settings.geographies
        self._probe = probe
        self._down: set[str] = set()

    async def look(self) -> None:
        """Find out which ones answer."""
        answers = await asyncio.gather(*(self._probe(each.api_url) for each in self._all))
        down = {each.name for each, is_up in zip(self._all, answers, strict=True) if not is_up}
        if down != self._down:
            _log.warning("geographies that do not answer", extra={"down": sorted(down)})
        self._down = down

    def nearest(self, at: LatLng | None) -> Sequence[tuple[Geography, float | None]]:
        """Those that answer and how far they are in metres, the nearest first; without a place in their given order."""
        up = [each for each in self._all if each.name not in self._down]
        if at is None:
            return [(each, None) for each in up]
        far = [(each, haversine_m(at, LatLng(each.lat, each.lng))) for each in up]
        return sorted(far, key=lambda pair: pair[1])


class HttpProbe:
    """Asks /readyz of an API, with a bound on the wait."""

    def __init__(self, client: httpx.AsyncClient, timeout_s: float) -> None:
        self._client = client
        self._timeout_s = timeout_s

    async def __call__(self, api_url: str) -> bool:
        try:
            answer = await self._client.get(f"{api_url.rstrip('/')}/readyz", timeout=self._timeout_s)
        except httpx.HTTPError:
            return False
        return answer.status_code == 200
