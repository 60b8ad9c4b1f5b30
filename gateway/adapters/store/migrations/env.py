"""What Alembic runs for each command. The connection is that of the caller, in its transaction."""

from alembic import context

from gateway.adapters.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
