"""Commands that keep releases going: tick, reconcile. A schedule runs them; a person may at any time."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from components.errors import TowpathError
from pipelines.cli.output import JsonOption, print_json, print_json_line, print_table, say, say_all

if TYPE_CHECKING:
    from pipelines.release.tick import Ticked

EnvOption = Annotated[str, typer.Option("--env", help="One environment; all by default.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Report only; change nothing.")]


def tick(
    env: EnvOption = "",
    every: Annotated[
        float, typer.Option(min=0, help="Go on until it is interrupted, so many seconds apart; 0 is once.")
    ] = 0.0,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
) -> None:
    """Look once at every rollout: apply what is open, judge, and move on, hold, pause or roll back."""
    from pipelines.release.environments import load_environment
    from pipelines.release.own import own_environments

    names = [env] if env else own_environments()
    for name in names:
        load_environment(name)  # a wrong name or file is found before the first look
    if not every:
        looked, errors = _look_at(names, dry_run=dry_run)
        _show_ticked(looked, json)
        if errors:
            raise errors[0]
        if any(each.action == "failed" for each in looked):
            raise typer.Exit(1)
        return
    while True:  # whatever went wrong may be over at the next look
        looked, errors = _look_at(names, dry_run=dry_run)
        say_all(str(error) for error in errors)
        if news := [each for each in looked if each.action not in ("hold", "settled", "busy")]:
            _show_ticked(news, json, in_a_row=True)
        time.sleep(every)


def reconcile(
    env: EnvOption = "",
    dry_run: DryRunOption = False,
    json: JsonOption = False,
) -> None:
    """Compare traffic and MLflow's aliases with the ledger, report drift, and repair it."""
    from pipelines.release.environments import load_environment
    from pipelines.release.own import own_environments
    from pipelines.release.reconcile import reconcile as compare

    names = [env] if env else own_environments()
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


def _look_at(names: Sequence[str], *, dry_run: bool) -> tuple[Sequence[Ticked], list[TowpathError]]:
    """Look once at every slot of some environments; one that cannot be looked at does not keep the others from it."""
    from pipelines.release.environments import load_environment
    from pipelines.release.rounds import follow_all, foresee_all, go_round, look_all

    opened = functools.cache(load_environment)
    if dry_run:
        done = go_round(names, lambda name: foresee_all(opened(name)), lambda _, looked: looked)
    else:
        done = go_round(
            names, lambda name: look_all(opened(name)), lambda name, looked: follow_all(opened(name), looked)
        )
    return done.looked, [error for _, error in done.errors]


def _show_ticked(looked: Sequence[Ticked], json: bool, *, in_a_row: bool = False) -> None:
    if json:
        print_json_line(looked) if in_a_row else print_json(looked)
        return
    rows = [(t.model, t.env, t.rev, t.action, t.target or "-", "\n".join(t.sentences)) for t in looked]
    print_table(("model", "environment", "rev", "action", "to", "why"), rows)
