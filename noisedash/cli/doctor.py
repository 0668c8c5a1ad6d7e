"""`noisedash doctor`: what is wrong with this machine's set-up, and how to mend it."""

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from noisedash.cli.output import WIDTH_OF_FILES, AsJson, say, say_json
from noisedash.jobs.doctor import leftovers
from noisedash.jobs.doctor.examination import examine
from noisedash.jobs.doctor.findings import Finding, Verdict, closing_line
from noisedash.settings import Settings, current_settings

_STYLES = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.PROBLEM: "bold red"}


def doctor(
    fix: Annotated[bool, typer.Option("--fix", help="Remove half-written files of processes that are gone.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say what is wrong with this machine's set-up and how to mend it; exit status 1 where there is a problem.

    Without --fix it changes nothing. It never prints passwords or tokens.
    """
    settings = current_settings()
    removed = remove_half_written(settings) if fix else []
    findings = list(examine(settings))
    if as_json:
        say_json({"findings": [asdict(finding) for finding in findings], "removed": removed})
    else:
        for path in removed:
            say(f"Removed {path}")
        tell(findings)
        say(f"\n{closing_line(findings)}")
    if any(finding.verdict is Verdict.PROBLEM for finding in findings):
        raise typer.Exit(1)


def remove_half_written(settings: Settings) -> list[str]:
    """Remove what killed processes left half-written; what was removed."""
    return [str(path) for path in leftovers.remove(leftovers.half_written(settings, time.time()))]


def tell(findings: Sequence[Finding]) -> None:
    """A line for each finding, the remedy below it. Texts are shown as they are, never as markup."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        said = Text(finding.found)
        if finding.remedy:
            said.append(f"\n→ {finding.remedy}", style="bold")
        table.add_row(Text(finding.verdict, style=_STYLES[finding.verdict]), finding.name, said)
    Console(width=None if sys.stdout.isatty() else WIDTH_OF_FILES).print(table)
