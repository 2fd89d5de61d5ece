"""About the engine itself: what apps need to know first, the messages' schema, health and metrics."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from core.clock import rfc3339
from core.geo import LatLng
from runtime.probes import readiness
from web.answers import ConfigAnswer, Health, Readiness
from web.edge import edge_of, engine_of
from web.messages import all_schemas
from web.ports import Body
from web.route import StrictRoute

public = APIRouter(tags=["meta"], route_class=StrictRoute)
probes = APIRouter(tags=["meta"], route_class=StrictRoute)

CHECK_TIMEOUT_S = 2.0


@public.get("/config", response_model=ConfigAnswer)
async def config(request: Request, lat: float | None = None, lng: float | None = None) -> Body:
    """What an app needs before it signs in: the nearest hosts that answer, and the limits."""
    edge = edge_of(request)
    hosts = _hosts(request, None if lat is None and lng is None else LatLng.checked(lat, lng, "query"))
    engine, settings = edge.engine, edge.settings
    location, dispatch, web = settings.location, settings.dispatch, settings.web
    return {
        "city": engine.city.name,
        "centre": engine.city.centre._asdict(),
        "bounds": list(engine.city.bounds),
        "gateway_url": hosts[0]["gateway_url"],
        "hosts": hosts,
        "currency": settings.fares.currency,
        "open_console": web.open_console,
        "engine_time": rfc3339(engine.clock.now()),
        "limits": {
            "ping_interval_s": location.ping_interval_s,
            "min_ping_gap_s": location.min_gap_s,
            "driver_stale_s": location.fresh_s,
            "max_ping_future_s": location.max_future_s,
            "max_ping_speed_mps": location.max_speed_mps,
            "max_buffered_pings": location.max_buffered_pings,
            "max_frame_bytes": location.max_frame_bytes,
            "max_body_bytes": web.max_body_bytes,
            "offer_s": dispatch.offer_s,
            "request_s": dispatch.request_s,
            "quote_s": settings.fares.quote_s,
            "ticket_s": web.ticket_s,
        },
    }


def _hosts(request: Request, at: LatLng | None) -> list[Body]:
    """Where an app may go, the nearest first."""
    engine = engine_of(request)
    found = engine.geographies.nearest(at) if engine.geographies else []
    if not found:  # there is this one, and it answers
        api_url = str(request.base_url).rstrip("/")
        return [
            {"name": engine.city.name, "api_url": api_url, "gateway_url": _gateway_url(request), "distance_m": None}
        ]
    return [
        {
            "name": each.name,
            "api_url": each.api_url,
            "gateway_url": each.gateway_url,
            "distance_m": None if far_m is None else round(far_m),
        }
        for each, far_m in found
    ]


def _gateway_url(request: Request) -> str:
    edge = edge_of(request)
    if edge.settings.cluster.gateway_url:
        return edge.settings.cluster.gateway_url
    port = edge.engine.gateway_port() if edge.engine.gateway_port else edge.settings.web.gateway_port
    host = request.url.hostname or "127.0.0.1"
    host = f"[{host}]" if ":" in host else host
    return f"{'wss' if request.url.scheme == 'https' else 'ws'}://{host}:{port}/v1/driver/ws"


@public.get("/messages.json", response_class=Response)
async def messages(request: Request) -> Response:
    """JSON Schema of every WebSocket message by socket and direction, and the layout of the operators' frame."""
    return Response(msgspec.json.encode(all_schemas(engine_of(request).driver_schemas)), media_type="application/json")


@probes.get("/healthz", response_model=Health)
async def healthz() -> Body:
    """The process lives and answers."""
    return {"status": "ok"}


@probes.get("/readyz", response_model=Readiness, responses={503: {"model": Readiness}})
async def readyz(request: Request, response: Response) -> Body:
    """The stores answer: 503 and which one does not, otherwise."""
    ready, body = await readiness(engine_of(request).readiness, CHECK_TIMEOUT_S)
    if not ready:
        response.status_code = 503
        response.headers["Retry-After"] = "1"
    return body


@probes.get("/metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """Prometheus metrics."""
    return Response(generate_latest(engine_of(request).metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
