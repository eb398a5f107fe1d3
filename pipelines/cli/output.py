"""How commands show what they found: a table for people, JSON for scripts. Knows no command."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from components.types.record import dump

if TYPE_CHECKING:
    from rich.table import Table

    from components.types.evaluation import Verdict

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def print_json(value: Any) -> None:
    """Print a record or plain JSON types, indented, on standard output."""
    sys.stdout.write(json.dumps(dump(value), indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def print_json_line(value: Any) -> None:
    """Print a record or plain JSON types as one line that whoever reads along gets at once."""
    sys.stdout.write(json.dumps(dump(value), allow_nan=False, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def print_table(headings: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> None:
    """Print a table as wide as its content; None is shown as a dash."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    console.print(make_table(headings, rows, title))


def make_table(headings: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> Table:
    """Return a table as wide as its content; None is shown as a dash."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(*headings, title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:  # as text, not as rich's markup: a reason may hold brackets
        table.add_row(*(Text("-" if cell is None else str(cell)) for cell in row))
    return table


def print_verdicts(verdicts: Sequence[Verdict]) -> None:
    """Print gates with their verdicts and reasons."""
    rows = [(each.gate, "passed" if each.passed else "NOT YET", "\n".join(each.reasons)) for each in verdicts]
    print_table(("gate", "verdict", "why"), rows)


@contextlib.contextmanager
def progress(*, show: bool) -> Iterator[Callable[[str, int, int], None]]:
    """Give a function that hears what is going on, how much of it is done, and how much there is; a bar for each."""
    if not show or not sys.stderr.isatty():
        said: set[str] = set()

        def line(what: str, _done: int, _total: int) -> None:
            if show and what not in said:
                said.add(what)
                say(f"{what} ...")

        yield line
        return
    from rich.console import Console
    from rich.progress import Progress, TaskID

    with Progress(console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def bar(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what)
            bars.update(tasks[what], completed=done, total=total or None)

        yield bar


def say(text: str) -> None:
    """Print one line for a person on standard error, so that standard output stays clean for scripts."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def say_all(sentences: Iterable[str]) -> None:
    """Print one line each."""
    for sentence in sentences:
        say(sentence)


def finish(json: bool, value: Any, sentence: str) -> None:
    """Print what was found as JSON, or one sentence."""
    if json:
        print_json(value)
    else:
        say(sentence)
