"""The tables. Times are seconds since 1970 UTC by the database's clock; spec, progress and per-class AP are JSON."""

from sqlalchemy import (
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
)

REVISIONS = ("0001", "0002")
"""What the tables went through (noisedash/jobs/migrations/versions), the present state last."""
REVISION = REVISIONS[-1]
SCHEMA_VERSION = 2
"""What a NoiseDash that knows no revisions reads, to see that the tables are not its own. It never changes again."""

revision_metadata = MetaData()
alembic_version = Table(
    "alembic_version",
    revision_metadata,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
"""The database's revision, in the table that Alembic keeps it in."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

schema_version = Table("schema_version", metadata, Column("version", Integer, primary_key=True, autoincrement=False))

runs = Table(
    "runs",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("spec", Text, nullable=False),
    Column("dataset_name", Text, nullable=False),
)

studies = Table(
    "studies",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(100), nullable=False, unique=True),
    Column("title", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("dataset_name", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("cancelled_at", Double),
)

study_runs = Table(
    "study_runs",
    metadata,
    Column("study_id", ForeignKey("studies.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("run_id", ForeignKey("runs.id"), nullable=False, index=True),
    UniqueConstraint("study_id", "run_id"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", ForeignKey("runs.id"), nullable=False, unique=True),
    Column("state", String(16), nullable=False),
    Column("wanted", String(16), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    Column("token", Integer, nullable=False),
    Column("lease_until", Double),
    Column("worker", Text, nullable=False),
    Column("place", Text, nullable=False, server_default=""),
    Column("reason", Text, nullable=False),
    Column("progress", Text),
    Column("checkpoint_step", Integer),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
)
Index("ix_jobs_claim", jobs.c.state, jobs.c.priority.desc(), jobs.c.position)
_LEASED = jobs.c.lease_until.is_not(None)
Index("ix_jobs_lease", jobs.c.lease_until, sqlite_where=_LEASED, postgresql_where=_LEASED)

metrics = Table(
    "metrics",
    metadata,
    Column("run_id", ForeignKey("runs.id"), primary_key=True),
    Column("step", Integer, primary_key=True),
    Column("loss", Double, nullable=False),
    Column("classification_loss", Double, nullable=False),
    Column("localization_loss", Double, nullable=False),
    Column("learning_rate", Double, nullable=False),
    Column("images_per_s", Double, nullable=False),
)

results = Table(
    "results",
    metadata,
    Column("run_id", ForeignKey("runs.id"), primary_key=True),
    Column("step", Integer, primary_key=True),
    Column("score_threshold", Double, primary_key=True),
    Column("final", Boolean, nullable=False),
    Column("mean_ap", Double),
    Column("ap_of_class", Text, nullable=False),
)

workers = Table(
    "workers",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("slots", Integer, nullable=False),
    Column("kind", String(16), nullable=False, server_default="worker"),
    Column("resources", Text, nullable=False, server_default=""),
    Column("seen_at", Double, nullable=False),
)

submissions = Table(
    "submissions",
    metadata,
    Column("nonce", String(100), primary_key=True),
    Column("study_name", String(100), nullable=False),
    Column("new_jobs", Integer, nullable=False),
    Column("existing_jobs", Integer, nullable=False),
    Column("retried_jobs", Integer, nullable=False),
    Column("created_at", Double, nullable=False),
)
