"""Why a ride request got the driver it got, as OpenAPI shows it."""

from __future__ import annotations

from pydantic import Field

from web.answers import Answer, RequestStatus


class OfferSeen(Answer):
    """An offer that was made, and how it ended."""

    offer_id: str
    driver_id: str
    status: str
    reason: str | None
    why: str = Field(description="as the driver was told")
    made_at: str
    ended_at: str | None


class CandidateAnswer(Answer):
    """A driver as a look saw them. What no filter let be asked for is left out."""

    driver_id: str
    outcome: str = Field(
        description="offered; the filter that dropped them: offline, busy, stale, vehicle, tried, elsewhere, "
        "unreachable, too_far; or why they lost: ranked_lower, cannot, taken, given_to_another, left_waiting"
    )
    away_m: float = Field(description="from the pickup, by air")
    position_age_s: float
    rank: int | None = Field(None, description="from 1, the best")
    score: float | None = Field(None, description="seconds of pickup time, the lowest is best")
    seconds: dict[str, float] | None = Field(None, description="what the score is made of, by feature")
    pickup_eta_s: float | None = Field(None, description="by road")
    pickup_distance_m: float | None = Field(None, description="by road")
    idle_s: float | None = None
    rating: float | None = None
    acceptance: float | None = Field(None, description="share of the last answered offers that were accepted")
    place_in_line: int | None = Field(None, description="where drivers wait in line for pickups")


class LookAnswer(Answer):
    """What one look around saw, and decided."""

    look_id: str
    at: str
    mode: str
    weights: dict[str, float] = Field(description="what a feature was worth, in seconds of pickup time")
    counts: dict[str, int] = Field(description="drivers seen, dropped by each filter in its order, and ranked")
    candidates: list[CandidateAnswer] = Field(description="the ranked ones in order, then others, the nearest first")
    left_out: int = Field(description="drivers seen who are not listed")


class ExplainAnswer(Answer):
    """Why a ride request got the driver it got, or none. `looks` are kept for a while and oldest first."""

    request_id: str
    status: RequestStatus
    mode: str
    trip_id: str | None
    offers: list[OfferSeen]
    looks: list[LookAnswer]
