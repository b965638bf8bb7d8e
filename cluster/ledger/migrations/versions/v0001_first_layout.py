"""The first layout, as its own version made it. It is never run on a ledger: every ledger began with it."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_Key = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _text(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]


def _times(*names: str) -> list[sa.Column[float]]:
    return [sa.Column(name, sa.Double, nullable=False) for name in names]


def _keys(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, _Key, primary_key=True) for name in names]


def upgrade() -> None:
    op.create_table("meta", *_keys("name"), *_text("value"))
    op.create_table(
        "scope",
        *_keys("name"),
        sa.Column("cap", sa.BigInteger),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("used", sa.BigInteger, nullable=False),
        sa.Column("in_doubt", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "run",
        *_keys("id"),
        *_text("pipeline"),
        sa.Column("pins", sa.Text),
        *_text("pins_hash", "owner"),
        *_times("lease_until"),
        sa.Column("epoch", sa.Integer, nullable=False),
        *_text("status", "scopes"),
        *_times("opened_at"),
        sa.Column("ended_at", sa.Double),
        sa.Column("erased_at", sa.Double),
    )
    op.create_table("token", *_keys("id"), sa.Column("epoch", sa.Integer, nullable=False), *_text("status"))
    op.create_table("step", *_keys("run", "path"), *_text("state"), sa.Column("result", sa.Text))
    op.create_table(
        "call",
        *_keys("id"),
        *_text("kind"),
        sa.Column("value", sa.Text),
        sa.Column("request_hash", sa.Text),
        sa.Column("cost", sa.BigInteger, nullable=False),
        *_text("usage"),
        *_times("at"),
    )
    _attempts()
    op.create_table("observation", *_keys("run", "path", "name"), *_text("value"))
    op.create_table(
        "outbox",
        *_keys("keeper"),
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        *_text("table", "row"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer, primary_key=True),
        *_times("at"),
        *_text("action", "subject", "by", "detail"),
    )


def _attempts() -> None:
    op.create_table(
        "attempt",
        *_keys("call"),
        sa.Column("n", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("run", _Key, nullable=False),
        *_text("token", "request_hash", "scopes"),
        sa.Column("worst", sa.BigInteger, nullable=False),
        sa.Column("charge", sa.BigInteger, nullable=False),
        *_text("state"),
        sa.Column("epoch", sa.Integer, nullable=False),
        *_times("reserved_at", "send_by", "deadline"),
        *_text("batch"),
        *_times("submitted_at", "doubted_at", "ended_at"),
        *_text("usage", "reason", "detail"),
        sqlite_with_rowid=False,
    )
    reserved, doubted = sa.text("state = 'reserved'"), sa.text("state = 'in_doubt'")
    op.create_index("attempt_reserved", "attempt", ["deadline"], sqlite_where=reserved, postgresql_where=reserved)
    op.create_index("attempt_in_doubt", "attempt", ["call"], sqlite_where=doubted, postgresql_where=doubted)
