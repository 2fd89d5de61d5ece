"""trips: closures of operators, and learned travel times"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import LONGBLOB, MEDIUMTEXT

from app.migrations.steps import make_table

revision = "trips_0005"
down_revision = "trips_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    make_table(
        "closures",
        sa.Column("closure_id", sa.String(length=40), nullable=False),
        sa.Column("feature", sa.Text().with_variant(MEDIUMTEXT(), "mysql", "mariadb"), nullable=False),
        sa.Column("changed_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("closure_id", name=op.f("pk_closures")),
    )
    make_table(
        "learned",
        sa.Column("city", sa.String(length=40), nullable=False),
        sa.Column("part", sa.String(length=40), nullable=False),
        sa.Column("body", sa.LargeBinary().with_variant(LONGBLOB(), "mysql", "mariadb"), nullable=False),
        sa.Column("changed_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("city", "part", name=op.f("pk_learned")),
    )


def downgrade() -> None:
    op.drop_table("learned")
    op.drop_table("closures")
