"""Commands that keep releases going: tick, reconcile. A schedule runs them; a person may at any time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.output import JsonOption, print_json, print_table, say

if TYPE_CHECKING:
    from pipelines.release.tick import Ticked

EnvOption = Annotated[str, typer.Option("--env", help="One environment; all by default.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Report only; change nothing.")]


def tick(
    env: EnvOption = "",
    every: Annotated[float, typer.Option(help="Go on for ever, so many seconds apart; once by default.")] = 0.0,
    json: JsonOption = False,
) -> None:
    """Look once at every rollout: apply what is open, judge, and move on, hold, pause or roll back."""
    from components.types.release import Environment
    from pipelines.release.environments import load_environment
    from pipelines.release.tick import tick_all

    names = [env] if env else [each.value for each in Environment]
    while True:
        looked = [each for name in names for each in tick_all(load_environment(name))]
        _show_ticked(looked, json, quiet=every > 0)
        if not every:
            break
        time.sleep(every)
    if any(each.action == "failed" for each in looked):
        raise typer.Exit(1)


def reconcile(
    env: EnvOption = "",
    dry_run: DryRunOption = False,
    json: JsonOption = False,
) -> None:
    """Compare traffic and MLflow's aliases with the ledger, report drift, and repair it."""
    from components.types.release import Environment
    from pipelines.release.environments import load_environment
    from pipelines.release.reconcile import reconcile as compare

    names = [env] if env else [each.value for each in Environment]
    drifts = [drift for name in names for drift in compare(load_environment(name), repair=not dry_run)]
    if json:
        print_json(drifts)
    elif not drifts:
        say("everything is what the ledger says")
    else:
        rows = [(d.model, d.env, d.what, d.found, "yes" if d.repaired else d.problem or "no") for d in drifts]
        print_table(("model", "environment", "what", "found", "repaired"), rows)
    if any(drift.problem for drift in drifts):
        raise typer.Exit(1)


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to the command line."""
    for command in (tick, reconcile):
        app.command()(command)


def _show_ticked(looked: Sequence[Ticked], json: bool, *, quiet: bool) -> None:
    if json:
        print_json(looked)
        return
    moved = [each for each in looked if not quiet or each.action not in ("hold", "settled", "busy")]
    if moved or not quiet:
        rows = [(t.model, t.env, t.rev, t.action, t.target or "-", "\n".join(t.sentences)) for t in moved]
        print_table(("model", "environment", "rev", "action", "to", "why"), rows)
