"""riders: one good code"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.migrations.steps import make_column, make_unique

revision = "riders_0003"
down_revision = "riders_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    make_column("one_time_codes", sa.Column("good_phone", sa.String(length=20), nullable=True))
    make_unique("uq_one_time_codes_good_phone", "one_time_codes", ["good_phone"])


def downgrade() -> None:
    with op.batch_alter_table("one_time_codes") as batch:
        batch.drop_constraint("uq_one_time_codes_good_phone")
        batch.drop_column("good_phone")
