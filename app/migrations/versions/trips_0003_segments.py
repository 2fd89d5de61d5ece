"""trips: tables of segments"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import MEDIUMTEXT

from app.migrations.steps import make_table

revision = "trips_0003"
down_revision = "trips_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    make_table(
        "segment_tables",
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("body", sa.Text().with_variant(MEDIUMTEXT(), "mysql", "mariadb"), nullable=False),
        sa.Column("made_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_segment_tables")),
    )


def downgrade() -> None:
    op.drop_table("segment_tables")
