"""The command `promote`: says what it will do, does it, and may stay until it is decided. Judges nothing."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from components.errors import AlreadyRunningError, BadInputError, GateRefusedError
from pipelines.cli.output import JsonOption, finish, print_json, print_verdicts, progress, say, say_all

if TYPE_CHECKING:
    from components.release.records import Slot
    from pipelines.release.environments import EnvironmentConfig

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would change; change nothing.")]
_LOOK_S = 1.0
_FOLLOW = "Stay and tick until it is stable (exit code 0), or a gate threw it out or holds it until a person acts (4)."


def promote(
    model: str,
    version: int,
    to: Annotated[str, typer.Option("--to", help="Where to: staging or production; local accepts the challenger.")],
    plan: Annotated[str, typer.Option(help="A release plan instead of the environment's own.")] = "",
    follow: Annotated[bool, typer.Option("--follow", help=_FOLLOW)] = False,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
) -> None:
    """Bring a version into an environment: copy, gather evidence, judge, commit, and start its rollout."""
    from pipelines.release.actors import who
    from pipelines.release.environment_config import Right
    from pipelines.release.environments import load_environment, load_source
    from pipelines.release.promote import promote as bring
    from pipelines.release.promote import propose

    env = load_environment(to)
    if env.source is None:
        _accept(env, model, version, plan, dry_run=dry_run, json=json)
        return
    source = load_source(env)
    proposal = propose(model, version, env, source, plan or None)
    say(f"promoting version {version} of {model} to {to} (revision {proposal.rev}) will:")
    say_all([f"  {number}. {step}" for number, step in enumerate(proposal.steps, 1)])
    if dry_run:
        finish(json, proposal, "nothing was changed")
        return
    actor = who(env)
    actor.require(Right.PROMOTE)
    say(actor.sentence)
    with progress(show=not json) as report:
        done = bring(model, version, env, source, plan or None, actor, Path(), report)
    if json and not follow:
        print_json(done)
    elif not json:
        print_verdicts(done.verdicts)
        say_all([*done.sentences, f"version {version} of {model} is {done.state} in {to} at revision {done.rev}"])
    if follow:
        follow_and_tell(env, model, version, json)


def follow_rollout(env: EnvironmentConfig, model: str, version: int, hear: Callable[[tuple[str, ...]], None]) -> Slot:
    """Tick until a version is stable, was thrown out, or waits for a person; return what stands there then.

    Args:
        env: Where.
        model: The model.
        version: The version that is on its way.
        hear: Told what each look came to, where it is news.

    Raises:
        TowpathError: as `tick`; another tick that is at it is waited for.
    """
    from components.release.states import on_its_way
    from pipelines.release.tick import tick

    said: tuple[str, ...] = ()
    while True:
        held_at = None
        with contextlib.suppress(AlreadyRunningError):  # somebody else lets it move, which is as good
            looked = tick(env, model)
            held_at = looked.rev if looked.needs_person else None
            if looked.sentences != said:
                hear(looked.sentences)
                said = looked.sentences
        slot = env.ledger().slot(model, env.name)
        if held_at == slot.rev or on_its_way(slot) != version:
            return slot
        time.sleep(_LOOK_S)


def follow_and_tell(env: EnvironmentConfig, model: str, version: int, json: bool) -> None:
    """Stay until a version's rollout is decided or waits for a person, and say which.

    Raises:
        typer.Exit: 4, because the version is not stable: a gate threw it out or holds it, or a person ended it.
        TowpathError: as `follow_rollout`.
    """
    slot = follow_rollout(env, model, version, lambda sentences: None if json else say_all(sentences))
    if json:
        from pipelines.release.tick import foresee

        print_json(foresee(env, model))
    else:
        say(_came_to(env, slot, version))
    if slot.stable != version:
        raise typer.Exit(GateRefusedError.exit_code)


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to the command line."""
    app.command()(promote)


def _accept(env: EnvironmentConfig, model: str, version: int, plan: str, *, dry_run: bool, json: bool) -> None:
    """Make the challenger of the first environment stable there."""
    from pipelines.release.accept import accept, acceptable
    from pipelines.release.actors import who
    from pipelines.release.environment_config import Right

    if plan:
        raise BadInputError(f"--plan {plan}: nothing is rolled out in {env.name.value}, so that no plan is needed")
    proposal = acceptable(env, model, version)
    say(f"accepting version {version} of {model} in {env.name.value} (revision {proposal.rev}) will:")
    say(f"  1. {proposal.sentence}")
    if dry_run:
        finish(json, proposal, "nothing was changed")
        return
    actor = who(env)
    actor.require(Right.PROMOTE)
    say(actor.sentence)
    done = accept(env, model, version, actor)
    finish(json, done, f"version {version} of {model} is stable in {env.name.value} at revision {done.rev}")
    say_all(done.sentences)


def _came_to(env: EnvironmentConfig, slot: Slot, version: int) -> str:
    """Return what became of a version, in a sentence."""
    from components.release.states import on_its_way, state_of

    model, where = slot.model, env.name.value
    if slot.stable == version:
        return f"version {version} of {model} is stable in {where}"
    ledger = env.ledger()
    state = state_of(ledger.version(model, version), slot, ledger.events(model, env.name))
    waits = " and stays so until a person acts" if on_its_way(slot) == version else ""
    return (
        f"version {version} of {model} is {str(state).replace('_', ' ')} in {where}, not stable{waits}; "
        f"`towpath explain-release {model} --env {where}` says why"
    )
