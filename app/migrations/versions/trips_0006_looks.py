"""trips: what looks saw"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import MEDIUMTEXT

from app.migrations.steps import make_index, make_table

revision = "trips_0006"
down_revision = "trips_0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    make_table(
        "looks",
        sa.Column("look_id", sa.String(length=40), nullable=False),
        sa.Column("request_id", sa.String(length=40), nullable=False),
        sa.Column("looked_at", sa.Double(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text().with_variant(MEDIUMTEXT(), "mysql", "mariadb"), nullable=False),
        sa.PrimaryKeyConstraint("look_id", name=op.f("pk_looks")),
    )
    make_index("ix_looks_request_id_looked_at", "looks", ["request_id", "looked_at"])
    make_index("ix_looks_looked_at", "looks", ["looked_at"])


def downgrade() -> None:
    op.drop_table("looks")
