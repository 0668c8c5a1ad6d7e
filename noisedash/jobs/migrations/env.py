"""What Alembic runs: the revisions, in the transaction of the connection that noisedash.jobs.migrating hands over."""

from alembic import context

from noisedash.jobs.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
