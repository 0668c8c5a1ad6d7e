"""`noisedash db`: which database it is, bringing it up to date, moving to another."""

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from noisedash.cli.output import AsJson, say, say_json, say_table
from noisedash.settings import current_settings

app = typer.Typer(no_args_is_help=True, help="The queue's database: show, upgrade, copy to another.")


@app.command("show")
def show(as_json: AsJson = False) -> None:
    """Show which database it is, its revision, and what it holds. Changes nothing."""
    from noisedash.jobs.copying import row_counts
    from noisedash.jobs.database import Database
    from noisedash.jobs.migrating import revision
    from noisedash.jobs.schema import REVISION, REVISIONS

    rows: dict[str, int] = {}
    with closing(Database(current_settings().database_url)) as database:
        is_there = not database.is_sqlite or Path(str(database.url.database)).exists()
        found = revision(database) if is_there else None
        if found in REVISIONS:
            with database.read() as transaction:
                rows = row_counts(transaction)
    if as_json:
        say_json({"database": database.where, "revision": found, "newest_revision": REVISION, "rows": rows})
        return
    say(f"Database  {database.where}")
    say(f"Revision  {found or 'none: there are no tables yet'}{'' if found == REVISION else f' (newest: {REVISION})'}")
    if rows:
        say_table(["table", "rows"], [[name, number] for name, number in rows.items()])


@app.command("upgrade")
def upgrade(as_json: AsJson = False) -> None:
    """Bring the database to this NoiseDash's revision; stop its workers first. A copy of a SQLite file is kept."""
    from noisedash.jobs import migrating
    from noisedash.jobs.database import Database

    with closing(Database(current_settings().database_url)) as database:
        before, copy = migrating.revision(database), migrating.upgrade(database)
        after = migrating.revision(database)
    if as_json:
        say_json({"database": database.where, "before": before, "revision": after, "copy": copy})
        return
    if before == after:
        say(f"{database.where} is up to date (revision {after}).")
        return
    say(f"{database.where} is now at revision {after}{f' (before: {before})' if before else ''}.")
    if copy:
        say(f"As it was before, it is kept in {copy}.")


@app.command("copy")
def copy(
    to_url: Annotated[
        str, typer.Argument(help="An empty database: postgresql+psycopg://user:password@host/name or sqlite:///FILE.")
    ],
    as_json: AsJson = False,
) -> None:
    """Copy all studies, jobs and results to another, empty database. Run folders stay where they are."""
    from noisedash.jobs.copying import copy_database
    from noisedash.jobs.migrating import open_database

    with closing(open_database(current_settings().database_url)) as source, closing(open_database(to_url)) as target:
        copied = copy_database(source, target)
    if as_json:
        say_json({"from": source.where, "to": target.where, "rows": copied})
        return
    say_table(["table", "rows"], [[name, number] for name, number in copied.items()])
    say(f"Copied to {target.where}. Set NOISEDASH_DB to it for the app and all workers; the old one is left as it is.")
