"""trips: leases"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.migrations.steps import make_table

revision = "trips_0002"
down_revision = "trips_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    make_table(
        "leases",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("owner", sa.String(length=80), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )


def downgrade() -> None:
    op.drop_table("leases")
