"""trips: zones that operators have changed, and places in airport queues"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import MEDIUMTEXT

from app.migrations.steps import make_index, make_table

revision = "trips_0004"
down_revision = "trips_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    make_table(
        "zones",
        sa.Column("zone_id", sa.String(length=40), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("feature", sa.Text().with_variant(MEDIUMTEXT(), "mysql", "mariadb"), nullable=True),
        sa.Column("changed_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("zone_id", name=op.f("pk_zones")),
    )
    make_table(
        "map_versions",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_map_versions")),
    )
    make_table(
        "queue_places",
        sa.Column("driver_id", sa.String(length=64), nullable=False),
        sa.Column("zone_id", sa.String(length=40), nullable=False),
        sa.Column("joined_at", sa.Double(), nullable=False),
        sa.Column("seen_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("driver_id", name=op.f("pk_queue_places")),
    )
    make_index("ix_queue_places_seen_at", "queue_places", ["seen_at"])
    make_index("ix_queue_places_zone_id_joined_at", "queue_places", ["zone_id", "joined_at"])


def downgrade() -> None:
    op.drop_table("queue_places")
    op.drop_table("map_versions")
    op.drop_table("zones")
