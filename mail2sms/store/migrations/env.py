"""Alembic runs this: migrations use the connection they are given, in the caller's transaction."""

from alembic import context

from mail2sms.store.columns import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True
)
context.run_migrations()
