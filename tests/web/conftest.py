"""An application over fakes, and a client that calls it in process."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.web.fakes import Fakes
from web.server import create_app


@pytest.fixture
def fakes() -> Fakes:
    return Fakes()


@pytest.fixture
async def api(fakes: Fakes) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(fakes.engine(), fakes.settings)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


@pytest.fixture
def rider(fakes: Fakes) -> dict[str, str]:
    return fakes.bearer("rider", "rdr_1")


@pytest.fixture
def driver(fakes: Fakes) -> dict[str, str]:
    return fakes.bearer("driver", "drv_1")


@pytest.fixture
def ops(fakes: Fakes) -> dict[str, str]:
    return fakes.bearer("ops", "ops_1")
