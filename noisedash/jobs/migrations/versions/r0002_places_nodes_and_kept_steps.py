"""Where a job runs, which step of it is kept, what kind of worker gave a sign of life, and which leases end first."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"


def upgrade() -> None:
    """Everything is added, so that trainers of the NoiseDash before can finish; it opens the database no more."""
    op.add_column("jobs", sa.Column("place", sa.Text, nullable=False, server_default=""))
    op.add_column("jobs", sa.Column("checkpoint_step", sa.Integer))
    op.add_column("workers", sa.Column("kind", sa.String(16), nullable=False, server_default="worker"))
    op.add_column("workers", sa.Column("resources", sa.Text, nullable=False, server_default=""))
    leased = sa.text("lease_until IS NOT NULL")
    op.create_index("ix_jobs_lease", "jobs", ["lease_until"], sqlite_where=leased, postgresql_where=leased)
    op.execute("UPDATE schema_version SET version = 2")
