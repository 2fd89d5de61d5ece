"""The truths of the engine, read from its stores by somebody who shares no code with it."""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Row = dict[str, Any]
ENDED = {"no_driver", "cancelled", "expired"}
_FAR = float("inf")


def _rows(path: Path, query: str) -> list[Row]:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    try:
        return [dict(row) for row in connection.execute(query)]
    finally:
        connection.close()


class Truths:
    """A stopped engine's stores."""

    def __init__(self, data_dir: Path) -> None:
        main, archive = data_dir / "hexcab.db", data_dir / "archive.db"
        self.requests = {row["request_id"]: row for row in _rows(main, "SELECT * FROM ride_requests")}
        self.offers = _rows(main, "SELECT * FROM offers")
        self.outbox = _rows(main, "SELECT * FROM outbox")
        self.events = [{**json.loads(row["body"]), "state": row["state"]} for row in self.outbox]
        self.live = _rows(main, "SELECT * FROM trips")
        self.rated = {row["trip_id"] for row in _rows(main, "SELECT trip_id FROM trip_ratings")}
        self.archived = [json.loads(row["body"]) for row in _rows(archive, "SELECT body FROM trips_by_trip")]
        both = [*self.live, *self.archived]
        self.trips = {trip["trip_id"]: trip for trip in both}
        self.doubles = len(both) - len(self.trips)

    def figures(self) -> str:
        """One line for people."""
        statuses = Counter(row["status"] for row in self.requests.values())
        ends = Counter(trip["status"] for trip in self.trips.values())
        offers = Counter(row["status"] for row in self.offers)
        return (
            f"requests={dict(statuses)} offers={dict(offers)} trips={dict(ends)} archived={len(self.archived)} "
            f"events={len(self.events)}"
        )

    def count(self, status: str) -> int:
        """Trips in a status."""
        return sum(trip["status"] == status for trip in self.trips.values())

    def check(self) -> None:
        """Everything that the stores must agree on among themselves."""
        self._every_request_is_over_and_has_at_most_one_trip()
        self._nobody_is_on_two_trips_at_once()
        self._every_search_ended_in_one_event()
        self._events_are_published_if_and_only_if_committed()

    def _every_request_is_over_and_has_at_most_one_trip(self) -> None:
        trips_of = Counter(trip["request_id"] for trip in self.trips.values())
        accepted = Counter(row["request_id"] for row in self.offers if row["status"] == "accepted")
        open_offers = [row for row in self.offers if row["status"] == "open"]
        assert not open_offers, f"offers are open without a search: {open_offers}"
        for request_id, row in self.requests.items():
            assert row["status"] in ENDED | {"assigned"}, f"{request_id} never ended: {row['status']}"
            expected = 1 if row["status"] == "assigned" else 0
            assert trips_of[request_id] == expected, f"{request_id} ({row['status']}) has {trips_of[request_id]} trips"
            assert accepted[request_id] == expected, f"{request_id} has {accepted[request_id]} accepted offers"
        assert set(trips_of) <= set(self.requests), "a trip has no request"

    def _nobody_is_on_two_trips_at_once(self) -> None:
        for person in ("driver_id", "rider_id"):
            spans: dict[str, list[tuple[float, float]]] = defaultdict(list)
            for trip in self.trips.values():
                ended = trip.get("completed_at") or trip.get("cancelled_at") or _FAR
                spans[trip[person]].append((trip["assigned_at"], ended))
            for who, times in spans.items():
                times.sort()
                for (_, ended), (began, _) in itertools.pairwise(times):
                    assert began >= ended, f"{who} was on two trips at once"

    def _every_search_ended_in_one_event(self) -> None:
        found: dict[str, list[str]] = defaultdict(list)
        for event in self.events:
            if event["type"] in ("CabFound", "NoCabFound"):
                found[event["request_id"]].append(event["type"])
        for request_id, row in self.requests.items():
            expected = ["CabFound"] if row["status"] == "assigned" else ["NoCabFound"]
            assert found[request_id] == expected, f"{request_id} is {row['status']} but says {found[request_id]}"

    def _events_are_published_if_and_only_if_committed(self) -> None:
        unpublished = [row for row in self.outbox if row["state"] != "published"]
        assert not unpublished, f"events were not published: {unpublished[:3]}"
        said: dict[str, set[str]] = defaultdict(set)
        for event in self.events:
            if "trip_id" in event and event["type"].startswith(("Trip", "Fare")):
                said[event["trip_id"]].add(event["type"])
        for trip_id, trip in self.trips.items():
            true = {"TripAssigned"}
            steps = {
                "arrived_at": "TripArrived",
                "started_at": "TripStarted",
                "completed_at": "TripCompleted",
                "cancelled_at": "TripCancelled",
                "fare": "FareFixed",
            }
            true |= {event for column, event in steps.items() if trip.get(column) is not None}
            true |= {"TripRated"} if trip_id in self.rated else set()
            assert said[trip_id] == true, f"{trip_id}: true is {true}, said is {said[trip_id]}"
        assert set(said) <= set(self.trips), "an event speaks of a trip that does not exist"
        requested = {event["request_id"] for event in self.events if event["type"] == "RideRequested"}
        assert requested == set(self.requests)

    def check_against(
        self,
        booked_by: Mapping[str, str],
        told_status: Mapping[str, str],
        told: Mapping[str, set[tuple[str, str]]],
        statuses: Mapping[str, set[str]],
    ) -> None:
        """What clients were told is what the stores say."""
        for request_id, rider_id in booked_by.items():
            assert request_id in self.requests, f"{request_id} was acknowledged and is lost"
            row = self.requests[request_id]
            assert row["rider_id"] == rider_id
            if row["status"] in ENDED:
                assert told_status.get(request_id) == row["status"], (
                    f"{request_id} is {row['status']}, its rider was told {told_status.get(request_id)}"
                )
        for trip_id, people in told.items():
            assert trip_id in self.trips, f"{trip_id} was told and does not exist"
            trip = self.trips[trip_id]
            owners = {("driver", trip["driver_id"]), ("rider", trip["rider_id"])}
            assert people <= owners, f"{trip_id} was told to {people - owners}"
            known = {"assigned"} | {
                status
                for status, column in {
                    "arrived": "arrived_at",
                    "riding": "started_at",
                    "completed": "completed_at",
                    "cancelled": "cancelled_at",
                }.items()
                if trip.get(column) is not None
            }
            assert statuses[trip_id] <= known, f"{trip_id}: told {statuses[trip_id]}, true is {known}"
