"""The edge put together: one FastAPI application over an engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse
from prometheus_client import Gauge
from starlette.staticfiles import StaticFiles

from runtime.settings import Settings
from web import (
    driver_api,
    errors,
    maps_api,
    meta,
    ops_api,
    ops_socket,
    rider_api,
    rider_socket,
    roads_api,
    segments_api,
    sessions_api,
    trips_api,
    zones_api,
)
from web.edge import Edge, KeyLocks
from web.engine import Engine
from web.mercator import MercatorBox
from web.openapi import describe
from web.ops_socket import OpsFeed
from web.roadmap import RoadMap
from web.shortcut import Shortcut
from web.telemetry import Telemetry

CONSOLE = Path(__file__).parent / "console"

_ROUTERS = (
    sessions_api.router,
    rider_api.creating,
    rider_api.router,
    driver_api.creating,
    driver_api.router,
    trips_api.router,
    maps_api.router,
    segments_api.router,
    zones_api.creating,
    zones_api.router,
    roads_api.creating,
    roads_api.router,
    ops_api.router,
    meta.public,
    rider_socket.router,
    ops_socket.router,
)


def create_app(engine: Engine, settings: Settings) -> FastAPI:
    """The application that serves everything but the drivers' sockets."""
    app = FastAPI(
        title="hexcab",
        version="1",
        docs_url=None,
        redoc_url=None,
        strict_content_type=False,  # without a content type a body is JSON; with a wrong one it is refused
    )
    box = MercatorBox.of(engine.city.bounds)
    app.state.edge = Edge(engine, settings, KeyLocks())
    app.state.road_map = RoadMap(engine.city, box)
    app.state.ops_feed = feed = OpsFeed(engine, settings.web, box)
    _watch_sockets(engine, feed)
    app.add_middleware(Shortcut)
    app.add_middleware(Telemetry, metrics=engine.metrics, wall=engine.wall)
    errors.install(app)
    v1 = APIRouter(prefix="/v1")
    for router in _ROUTERS:
        v1.include_router(router)
    app.include_router(v1)
    app.include_router(meta.probes)
    _serve_pages(app)
    describe(app)
    return app


def server_options(settings: Settings) -> dict[str, Any]:
    """What uvicorn must be told to keep the promises made here: sizes, and no logs or headers of its own."""
    return {
        "ws": "websockets-sansio",
        "ws_max_size": settings.web.max_body_bytes * 2,  # up to here we refuse with a reason; beyond it hangs up
        "ws_max_queue": 16,
        "ws_per_message_deflate": False,  # its windows would cost each socket more memory than all the rest
        "access_log": False,
        "log_config": None,
        "server_header": False,
        "timeout_graceful_shutdown": 5,
        "h11_max_incomplete_event_size": 65_536,
    }


def _serve_pages(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(CONSOLE / "index.html", headers={"Cache-Control": "no-cache"})

    @app.get("/docs", include_in_schema=False)
    async def docs() -> FileResponse:
        return FileResponse(CONSOLE / "docs.html", headers={"Cache-Control": "no-cache"})

    app.mount("/console", StaticFiles(directory=CONSOLE), name="console")


def _watch_sockets(engine: Engine, feed: OpsFeed) -> None:
    sockets = Gauge("hexcab_web_sockets", "Open sockets", ["kind"], registry=engine.metrics.registry)
    sockets.labels("rider").set_function(lambda: engine.hub.count)
    sockets.labels("ops").set_function(lambda: feed.count)
