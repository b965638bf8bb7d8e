"""Open runs are found without reading every run there ever was."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    still_open = sa.text("status = 'open'")
    op.create_index("run_open", "run", ["id"], sqlite_where=still_open, postgresql_where=still_open)
