"""The tables of the first release."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None


def upgrade() -> None:
    """What a NoiseDash of schema version 1 made."""
    _queue()
    _studies()
    _records()


def _queue() -> None:
    op.create_table(
        "schema_version",
        sa.Column("version", sa.Integer, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("version", name="pk_schema_version"),
    )
    op.create_table(
        "runs",
        sa.Column("id", sa.String(16), nullable=False),
        sa.Column("spec", sa.Text, nullable=False),
        sa.Column("dataset_name", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("run_id", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("wanted", sa.String(16), nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("max_attempts", sa.Integer, nullable=False),
        sa.Column("token", sa.Integer, nullable=False),
        sa.Column("lease_until", sa.Double),
        sa.Column("worker", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("progress", sa.Text),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("started_at", sa.Double),
        sa.Column("finished_at", sa.Double),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_jobs_run_id"),
        sa.UniqueConstraint("run_id", name="uq_jobs_run_id"),
    )
    op.create_index("ix_jobs_claim", "jobs", ["state", sa.text("priority DESC"), "position"])
    op.create_table(
        "workers",
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("slots", sa.Integer, nullable=False),
        sa.Column("seen_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_workers"),
    )


def _studies() -> None:
    op.create_table(
        "studies",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("dataset_name", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("cancelled_at", sa.Double),
        sa.PrimaryKeyConstraint("id", name="pk_studies"),
        sa.UniqueConstraint("name", name="uq_studies_name"),
    )
    op.create_table(
        "study_runs",
        sa.Column("study_id", sa.Integer, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("run_id", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("study_id", "position", name="pk_study_runs"),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name="fk_study_runs_study_id"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_study_runs_run_id"),
        sa.UniqueConstraint("study_id", "run_id", name="uq_study_runs_study_id_run_id"),
    )
    op.create_index("ix_study_runs_run_id", "study_runs", ["run_id"])
    op.create_table(
        "submissions",
        sa.Column("nonce", sa.String(100), nullable=False),
        sa.Column("study_name", sa.String(100), nullable=False),
        sa.Column("new_jobs", sa.Integer, nullable=False),
        sa.Column("existing_jobs", sa.Integer, nullable=False),
        sa.Column("retried_jobs", sa.Integer, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("nonce", name="pk_submissions"),
    )


def _records() -> None:
    op.create_table(
        "metrics",
        sa.Column("run_id", sa.String(16), nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("loss", sa.Double, nullable=False),
        sa.Column("classification_loss", sa.Double, nullable=False),
        sa.Column("localization_loss", sa.Double, nullable=False),
        sa.Column("learning_rate", sa.Double, nullable=False),
        sa.Column("images_per_s", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "step", name="pk_metrics"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_metrics_run_id"),
    )
    op.create_table(
        "results",
        sa.Column("run_id", sa.String(16), nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("score_threshold", sa.Double, nullable=False),
        sa.Column("final", sa.Boolean, nullable=False),
        sa.Column("mean_ap", sa.Double),
        sa.Column("ap_of_class", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "step", "score_threshold", name="pk_results"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_results_run_id"),
    )
