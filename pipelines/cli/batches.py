"""Commands about new data: batches list, release, drop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.output import JsonOption, finish, print_json, print_table, say

if TYPE_CHECKING:
    from components.types.batches import Decision

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="What an incremental source's dataset is made of.")
ReasonOption = Annotated[str, typer.Option("--reason", "-m", help="Why; kept with the decision.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would be decided; change nothing.")]


@app.command("list")
def list_(model: str, json: JsonOption = False) -> None:
    """Show every batch: whether it is in the last good dataset, new, held in quarantine, released or dropped."""
    from pipelines.batches.decisions import listed

    rows = listed(model)
    if json:
        print_json(rows)
        return
    print_table(
        ("batch", "state", "rows", "version", "what is known of it"),
        [(each.name, each.state, each.rows, each.version[:12], "\n".join(each.notes)) for each in rows],
    )
    if not rows:
        say(f"no batch of {model} was taken yet; `towpath run {model}` looks for them")


@app.command()
def release(
    model: str, batch: str, reason: ReasonOption, dry_run: DryRunOption = False, json: JsonOption = False
) -> None:
    """Take a batch out of quarantine: it need not meet the suite by itself; the dataset with it still must."""
    from components.types.batches import Decision

    _decide(model, batch, Decision.RELEASED, reason, dry_run=dry_run, json=json)


@app.command()
def drop(model: str, batch: str, reason: ReasonOption, dry_run: DryRunOption = False, json: JsonOption = False) -> None:
    """Leave a version of a batch of files out of every dataset to come: a held correction, else what was taken."""
    from components.types.batches import Decision

    _decide(model, batch, Decision.DROPPED, reason, dry_run=dry_run, json=json)


def _decide(model: str, batch: str, decision: Decision, reason: str, *, dry_run: bool, json: bool) -> None:
    from components.types.batches import Decision
    from pipelines.batches.decisions import decide

    entry = decide(model, batch, decision, reason, dry_run=dry_run)
    would = "would be" if dry_run else "is"
    what = f"version {entry.version[:12]} of batch {batch} of {model} {would} {decision}"
    if entry.stays and decision is Decision.DROPPED:
        what += f"; version {entry.stays[:12]}, which was taken, stays: say `drop` again to drop that one too"
    if decision is Decision.RELEASED:
        what += "; the whole dataset with it must still meet the suite"
    finish(json, entry, f"{what}; commit data/{model}/batches.json, and `towpath run {model}` acts on it")


def add_commands(app_: typer.Typer) -> None:
    """Add this file's commands to the command line."""
    app_.add_typer(app, name="batches")
