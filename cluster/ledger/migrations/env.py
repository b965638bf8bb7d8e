"""What Alembic runs: the migrations, on the connection that opening handed over."""

from alembic import context

from bessemer.cluster.ledger import _schema as t

context.configure(
    connection=context.config.attributes["connection"], target_metadata=t.metadata, version_table=t.REVISION_TABLE
)
context.run_migrations()
