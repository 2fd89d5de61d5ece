"""drivers: the first ride"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.migrations.steps import make_table

revision = "drivers_0001"
down_revision = None
branch_labels = ("drivers",)
depends_on = None


def upgrade() -> None:
    make_table(
        "drivers",
        sa.Column("driver_id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("phone", sa.String(length=20), nullable=False),
        sa.Column("plate", sa.String(length=12), nullable=False),
        sa.Column("vehicle_class", sa.String(length=12), nullable=False),
        sa.Column("seats", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("ratings_sum", sa.Integer(), nullable=False),
        sa.Column("ratings", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("driver_id", name=op.f("pk_drivers")),
        sa.UniqueConstraint("phone", name=op.f("uq_drivers_phone")),
    )


def downgrade() -> None:
    op.drop_table("drivers")
