"""Commands that back the stack up and restore it; each checks first, and says what it does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.output import JsonOption, finish, print_json, say


def backup(
    folder: Annotated[Path, typer.Argument(help="Where to; must not exist yet.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check that it could be made; write nothing.")] = False,
    json: JsonOption = False,
) -> None:
    """Back up the stack: ledger, MLflow, Prefect, artifacts and the DVC remote, with a digest of every file."""
    from pipelines.services.backup import back_up, describe

    made = back_up(folder, say, dry_run=dry_run)
    sentence = f"{folder}: {describe(made)}" if made else f"the stack answers and {folder} is free; nothing was written"
    finish(json, made, sentence)


def restore(
    folder: Annotated[Path, typer.Argument(help="What `towpath backup` wrote.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check every byte of it; change nothing.")] = False,
    json: JsonOption = False,
) -> None:
    """Put a backup in the place of what the stack holds; what came after it is lost."""
    from pipelines.services.backup import describe
    from pipelines.services.backup import restore as put_back

    manifest = put_back(folder, say, dry_run=dry_run)
    if json:
        print_json(manifest)
    else:
        say(f"{'whole; nothing was changed' if dry_run else 'restored'}: {describe(manifest)}")
    if not dry_run:
        say("next: `towpath reconcile --dry-run` says whether the gateways agree with it")


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to the command line."""
    for command in (backup, restore):
        app.command()(command)
