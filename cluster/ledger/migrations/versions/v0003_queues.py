"""Queues of tasks that are run unattended."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_Key = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _times(*names: str) -> list[sa.Column[float]]:
    return [sa.Column(name, sa.Double, nullable=False) for name in names]


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]


def upgrade() -> None:
    op.create_table(
        "queue",
        sa.Column("name", _Key, primary_key=True),
        *_texts("owner"),
        *_times("lease_until"),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("stopped", sa.Integer, nullable=False),
        sa.Column("last_place", sa.BigInteger, nullable=False),
        *_times("acknowledged_at"),
    )
    op.create_table(
        "queue_task",
        sa.Column("id", _Key, primary_key=True),
        sa.Column("queue", _Key, nullable=False),
        *_texts("key", "digest", "title"),
        *_times("priority"),
        sa.Column("place", sa.BigInteger, nullable=False),
        *_texts("spec", "run"),
        *_times("added_at"),
        *_texts("state"),
        sa.Column("tries", sa.Integer, nullable=False),
        *_times("not_before", "started_at", "ended_at"),
        *_texts("reason", "result", "degraded"),
        *_times("degraded_at"),
    )
    _index("queue_task_queued", "queued", sa.text("priority DESC"), "place")
    _index("queue_task_running", "running")


def _index(name: str, state: str, *more: str | sa.TextClause) -> None:
    where = sa.text(f"state = '{state}'")
    op.create_index(name, "queue_task", ["queue", *more], sqlite_where=where, postgresql_where=where)
