"""trips: the first ride"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.migrations.steps import make_index, make_table

revision = "trips_0001"
down_revision = None
branch_labels = ("trips",)
depends_on = None


def upgrade() -> None:
    make_table(
        "ride_requests",
        sa.Column("request_id", sa.String(length=40), nullable=False),
        sa.Column("rider_id", sa.String(length=64), nullable=False),
        sa.Column("open_rider", sa.String(length=64), nullable=True),
        sa.Column("pickup_lat", sa.Double(), nullable=False),
        sa.Column("pickup_lng", sa.Double(), nullable=False),
        sa.Column("dropoff_lat", sa.Double(), nullable=False),
        sa.Column("dropoff_lng", sa.Double(), nullable=False),
        sa.Column("rider_class", sa.String(length=12), nullable=False),
        sa.Column("mode", sa.String(length=12), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("segment", sa.String(length=16), nullable=False),
        sa.Column("fare_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("quote_id", sa.String(length=40), nullable=True),
        sa.Column("vehicle_class", sa.String(length=20), nullable=True),
        sa.Column("seats", sa.Integer(), nullable=True),
        sa.Column("trip_id", sa.String(length=40), nullable=True),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("supply_seen", sa.Integer(), nullable=False),
        sa.Column("counts", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_ride_requests")),
        sa.UniqueConstraint("open_rider", name=op.f("uq_ride_requests_open_rider")),
    )
    make_index("ix_ride_requests_rider_id_created_at", "ride_requests", ["rider_id", "created_at"])
    make_index("ix_ride_requests_status_created_at", "ride_requests", ["status", "created_at"])

    make_table(
        "offers",
        sa.Column("offer_id", sa.String(length=40), nullable=False),
        sa.Column("request_id", sa.String(length=40), nullable=False),
        sa.Column("driver_id", sa.String(length=64), nullable=False),
        sa.Column("open_driver", sa.String(length=64), nullable=True),
        sa.Column("mode", sa.String(length=12), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("made_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("pickup_eta_s", sa.Double(), nullable=False),
        sa.Column("pickup_distance_m", sa.Double(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("why", sa.String(length=200), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("reason", sa.String(length=200), nullable=True),
        sa.ForeignKeyConstraint(
            ["request_id"],
            ["ride_requests.request_id"],
        ),
        sa.PrimaryKeyConstraint("offer_id", name=op.f("pk_offers")),
        sa.UniqueConstraint("open_driver", name=op.f("uq_offers_open_driver")),
    )
    make_index("ix_offers_driver_id_made_at", "offers", ["driver_id", "made_at"])
    make_index("ix_offers_request_id", "offers", ["request_id"])

    make_table(
        "trips",
        sa.Column("trip_id", sa.String(length=40), nullable=False),
        sa.Column("request_id", sa.String(length=40), nullable=False),
        sa.Column("rider_id", sa.String(length=40), nullable=False),
        sa.Column("driver_id", sa.String(length=40), nullable=False),
        sa.Column("active_driver", sa.String(length=40), nullable=True),
        sa.Column("active_rider", sa.String(length=40), nullable=True),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("start_code", sa.String(length=8), nullable=False),
        sa.Column("code_tries", sa.Integer(), nullable=False),
        sa.Column("pickup_lat", sa.Double(), nullable=False),
        sa.Column("pickup_lng", sa.Double(), nullable=False),
        sa.Column("dropoff_lat", sa.Double(), nullable=False),
        sa.Column("dropoff_lng", sa.Double(), nullable=False),
        sa.Column("mode", sa.String(length=12), nullable=False),
        sa.Column("segment", sa.String(length=20), nullable=False),
        sa.Column("driver", sa.Text(), nullable=False),
        sa.Column("vehicle", sa.Text(), nullable=False),
        sa.Column("quote", sa.Text(), nullable=True),
        sa.Column("fare", sa.Text(), nullable=True),
        sa.Column("distance_m", sa.Double(), nullable=True),
        sa.Column("distance_grade", sa.String(length=12), nullable=True),
        sa.Column("assigned_at", sa.Double(), nullable=False),
        sa.Column("arrived_at", sa.Double(), nullable=True),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("completed_at", sa.Double(), nullable=True),
        sa.Column("cancelled_at", sa.Double(), nullable=True),
        sa.Column("cancelled_by", sa.String(length=8), nullable=True),
        sa.Column("cancel_reason", sa.String(length=200), nullable=True),
        sa.PrimaryKeyConstraint("trip_id", name=op.f("pk_trips")),
        sa.UniqueConstraint("active_driver", name=op.f("uq_trips_active_driver")),
        sa.UniqueConstraint("active_rider", name=op.f("uq_trips_active_rider")),
        sa.UniqueConstraint("request_id", name=op.f("uq_trips_request_id")),
    )
    make_index("ix_trips_driver_id_trip_id", "trips", ["driver_id", "trip_id"])
    make_index("ix_trips_rider_id_trip_id", "trips", ["rider_id", "trip_id"])
    make_index("ix_trips_status_trip_id", "trips", ["status", "trip_id"])

    make_table(
        "trip_events",
        sa.Column("trip_id", sa.String(length=40), nullable=False),
        sa.Column("n", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("type", sa.String(length=12), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("detail", sa.String(length=220), nullable=True),
        sa.PrimaryKeyConstraint("trip_id", "n", name=op.f("pk_trip_events")),
    )

    make_table(
        "trip_ratings",
        sa.Column("trip_id", sa.String(length=40), nullable=False),
        sa.Column("given_by", sa.String(length=8), nullable=False),
        sa.Column("about", sa.String(length=8), nullable=False),
        sa.Column("about_id", sa.String(length=40), nullable=False),
        sa.Column("stars", sa.Integer(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("trip_id", "given_by", name=op.f("pk_trip_ratings")),
    )

    make_table(
        "outbox",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("event_id", sa.String(length=120), nullable=False),
        sa.Column("topic", sa.String(length=40), nullable=False),
        sa.Column("key", sa.String(length=60), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("state", sa.String(length=12), server_default="waiting", nullable=False),
        sa.Column("gave_up", sa.String(length=200), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_outbox")),
        sa.UniqueConstraint("event_id", name=op.f("uq_outbox_event_id")),
    )
    make_index("ix_outbox_state_seq", "outbox", ["state", "seq"])

    make_table(
        "idempotency_keys",
        sa.Column("scope_key", sa.String(length=200), nullable=False),
        sa.Column("body_hash", sa.String(length=64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("scope_key", name=op.f("pk_idempotency_keys")),
    )
    make_index("ix_idempotency_keys_at", "idempotency_keys", ["at"])


def downgrade() -> None:
    op.drop_table("idempotency_keys")
    op.drop_table("outbox")
    op.drop_table("trip_ratings")
    op.drop_table("trip_events")
    op.drop_table("trips")
    op.drop_table("offers")
    op.drop_table("ride_requests")
