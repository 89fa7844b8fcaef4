"""The script that Alembic runs for migrations. They are part of the transaction of the given connection."""

from alembic import context

from orchestrator.store.schema import schema

context.configure(connection=context.config.attributes["connection"], target_metadata=schema)
context.run_migrations()
