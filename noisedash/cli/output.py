"""How commands speak: JSON where a script asked for it, else a table or a sentence."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH_OF_FILES = 200
"""Characters in a line where the output is no terminal."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def say(text: str) -> None:
    """A line to standard output."""
    typer.echo(text)


def say_json(value: Any) -> None:
    """A value as indented JSON to standard output."""
    typer.echo(json.dumps(value, indent=2, default=str))


def say_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table to standard output; numbers to the right. Cells are shown as they are, never as markup."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    cells = [list(row) for row in rows]
    for column, heading in enumerate(headings):
        numeric = bool(cells) and all(isinstance(row[column], int | float | None) for row in cells)
        table.add_column(heading, justify="right" if numeric else "left", overflow="fold")
    for row in cells:
        table.add_row(*(Text(show(cell)) for cell in row))
    width = None if sys.stdout.isatty() else WIDTH_OF_FILES
    Console(width=width).print(table)


def show(cell: object) -> str:
    """A cell for people: floats with three decimals, nothing for None and what is not a number."""
    if cell is None or cell != cell:
        return ""
    return f"{cell:.3f}" if isinstance(cell, float) else str(cell)
