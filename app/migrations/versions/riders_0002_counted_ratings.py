"""riders: counted ratings"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.migrations.steps import make_index, make_table

revision = "riders_0002"
down_revision = "riders_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    make_table(
        "rider_ratings",
        sa.Column("event_id", sa.String(length=120), nullable=False),
        sa.Column("subject", sa.String(length=40), nullable=False),
        sa.Column("stars", sa.Integer(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_rider_ratings")),
    )
    make_index("ix_rider_ratings_subject", "rider_ratings", ["subject"])


def downgrade() -> None:
    op.drop_table("rider_ratings")
