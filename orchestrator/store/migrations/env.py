"""What Alembic runs around the migrations: they are part of the transaction of the connection that it is given."""

from alembic import context

from orchestrator.store.schema import schema

context.configure(connection=context.config.attributes["connection"], target_metadata=schema)
context.run_migrations()
