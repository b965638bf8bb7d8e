"""How a ledger of an older version becomes one of this version, step by step.

Opening does it by itself, in one transaction under the lock of the layout. `meta` says a ledger's version; Alembic's
own table is set from it. A migration only adds (tables, indexes, columns with a default), so that a keeper of the
older version that still works finds everything it knows.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, update

from bessemer.cluster.ledger import _schema as t


def upgrade(connection: Connection, version: int) -> None:
    """Take a ledger of `version` to the newest one, within the connection's transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    command.stamp(config, revision_of(version), purge=True)
    command.upgrade(config, revision_of(t.SCHEMA_VERSION))
    newest = {"value": str(t.SCHEMA_VERSION)}
    connection.execute(update(t.meta).where(t.meta.c.name == t.VERSION_KEY).values(newest))


def revision_of(version: int) -> str:
    """Alembic's name of a schema version."""
    return f"{version:04}"
