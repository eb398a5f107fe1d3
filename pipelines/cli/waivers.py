"""The command `waive`: lets a candidate pass that cannot be compared with the champion. Judges nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.output import JsonOption, finish, say


def waive(
    model: str,
    candidate: Annotated[str, typer.Argument(help="How the candidate's digest begins, as the refusal names it.")],
    reason: Annotated[str, typer.Option("--reason", "-m", help="Why; kept in the ledger.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change; change nothing.")] = False,
    json: JsonOption = False,
) -> None:
    """Let one candidate pass where the champion cannot be scored; for these two digests, and for a day."""
    from components.types.release import Environment
    from pipelines.release.actors import who
    from pipelines.release.environments import load_environment
    from pipelines.release.waivers import propose
    from pipelines.release.waivers import waive as store

    env = load_environment(Environment.LOCAL.value)
    actor = who(env)
    say(actor.sentence)
    waiver = propose(env, model, candidate, reason, actor, Path())
    say(
        f"candidate {waiver.candidate_digest[:12]} of {model} need not be compared with the champion "
        f"{waiver.champion_digest[:12]}, should that be impossible; every other gate judges it as before"
    )
    if not dry_run:
        store(env, model, waiver)
    done = f"waived until {waiver.expires_at[:16]} UTC; `towpath run {model}` judges again"
    finish(json, waiver, "nothing was changed" if dry_run else done)


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to the command line."""
    app.command()(waive)
