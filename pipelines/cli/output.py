"""How commands show what they found: a table for people, JSON for scripts. Knows no command."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer

from components.types.record import dump

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def print_json(value: Any) -> None:
    """Print a record or plain JSON types, indented, on standard output."""
    sys.stdout.write(json.dumps(dump(value), indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def print_table(headings: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> None:
    """Print a table as wide as its content; None is shown as a dash."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(*headings, title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*("-" if cell is None else cell if isinstance(cell, str) else str(cell) for cell in row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    console.print(table)


def say(text: str) -> None:
    """Print one line for a person on standard error, so that standard output stays clean for scripts."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
