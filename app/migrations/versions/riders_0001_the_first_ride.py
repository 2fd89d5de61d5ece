"""riders: the first ride"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.migrations.steps import make_index, make_table

revision = "riders_0001"
down_revision = None
branch_labels = ("riders",)
depends_on = None


def upgrade() -> None:
    make_table(
        "riders",
        sa.Column("rider_id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("phone", sa.String(length=20), nullable=False),
        sa.Column("email", sa.String(length=120), nullable=True),
        sa.Column("rider_class", sa.String(length=12), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("ratings_sum", sa.Integer(), nullable=False),
        sa.Column("ratings", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("rider_id", name=op.f("pk_riders")),
        sa.UniqueConstraint("phone", name=op.f("uq_riders_phone")),
    )

    make_table(
        "one_time_codes",
        sa.Column("code_id", sa.String(length=40), nullable=False),
        sa.Column("phone", sa.String(length=20), nullable=False),
        sa.Column("role", sa.String(length=8), nullable=False),
        sa.Column("subject", sa.String(length=40), nullable=True),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("made_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("code_id", name=op.f("pk_one_time_codes")),
    )
    make_index("ix_one_time_codes_made_at", "one_time_codes", ["made_at"])
    make_index("ix_one_time_codes_phone_made_at", "one_time_codes", ["phone", "made_at"])


def downgrade() -> None:
    op.drop_table("one_time_codes")
    op.drop_table("riders")
