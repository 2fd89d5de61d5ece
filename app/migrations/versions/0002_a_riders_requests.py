"""a rider's requests, newest first"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_INDEX = "ix_ride_requests_rider_id_created_at"


def upgrade() -> None:
    op.create_index(_INDEX, "ride_requests", ["rider_id", "created_at"])


def downgrade() -> None:
    op.drop_index(_INDEX, "ride_requests")
