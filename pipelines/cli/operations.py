"""Commands by which a person moves a rollout; each says beforehand what it changes. Decides nothing itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli.output import JsonOption, finish, print_json, say, say_all

if TYPE_CHECKING:
    from components.release.records import Decision
    from pipelines.release.environments import EnvironmentConfig
    from pipelines.release.operate import Operation

EnvOption = Annotated[str, typer.Option("--env", help="The environment: local, staging or production.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would change; change nothing.")]
ReasonOption = Annotated[str, typer.Option("--reason", "-m", help="Why; kept in the ledger.")]
WaitOption = Annotated[float, typer.Option("--wait", min=0, help="Seconds to wait for all servers to report it.")]
RevOption = Annotated[int | None, typer.Option("--rev", help="The revision that you looked at; another is refused.")]
_WAIT_S = 5.0


def approve(
    model: str,
    env: EnvOption = "production",
    reason: ReasonOption = "",
    rev: RevOption = None,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
) -> None:
    """Approve the step that a rollout waits for; bound to the bytes, the step and the revision, and it expires."""
    from components.release.records import Decision

    _speak(model, env, Decision.APPROVE, reason, rev, dry_run, json)


def reject(
    model: str,
    version: Annotated[int | None, typer.Argument(help="Reject this version for ever; without it, the step.")] = None,
    env: EnvOption = "production",
    reason: ReasonOption = "",
    rev: RevOption = None,
    quarantine: Annotated[
        bool, typer.Option("--quarantine", help="The version's bytes are not to be trusted; only with a version.")
    ] = False,
    dry_run: DryRunOption = False,
    wait: Annotated[
        float | None, typer.Option("--wait", help="As for `abort`, 5 s by default; only with a version.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Reject the step that waits, or a version for ever."""
    from components.errors import BadInputError
    from components.release.records import Decision
    from pipelines.release.operate import reject as plan_rejection

    if version is None:
        if quarantine or wait is not None:
            raise BadInputError(
                "--quarantine and --wait are about a version, and a step is rejected here; name it: "
                f"`towpath reject {model} VERSION`"
            )
        _speak(model, env, Decision.REJECT, reason, rev, dry_run, json)
        return
    if rev is not None:
        raise BadInputError("--rev is about the step that waits; a version is rejected at every revision")
    _operate(
        env,
        "promote",
        lambda where, actor: plan_rejection(where, model, version, actor, reason, quarantine=quarantine),
        dry_run,
        _WAIT_S if wait is None else wait,
        json,
    )


def pause(
    model: str,
    env: EnvOption = "production",
    reason: ReasonOption = "",
    dry_run: DryRunOption = False,
    wait: WaitOption = _WAIT_S,
    json: JsonOption = False,
) -> None:
    """Hold a rollout where it is until somebody resumes it."""
    from pipelines.release.operate import pause as plan_pause

    _operate(env, "promote", lambda where, actor: plan_pause(where, model, actor, reason), dry_run, wait, json)


def resume(
    model: str,
    env: EnvOption = "production",
    reason: ReasonOption = "",
    dry_run: DryRunOption = False,
    wait: WaitOption = _WAIT_S,
    json: JsonOption = False,
) -> None:
    """Let a paused rollout go on; its step begins anew."""
    from pipelines.release.operate import resume as plan_resumption

    _operate(env, "promote", lambda where, actor: plan_resumption(where, model, actor, reason), dry_run, wait, json)


def abort(
    model: str,
    env: EnvOption = "production",
    reason: ReasonOption = "",
    dry_run: DryRunOption = False,
    wait: WaitOption = _WAIT_S,
    json: JsonOption = False,
) -> None:
    """End a rollout: all traffic to the stable version."""
    from pipelines.release.operate import abort as plan_abortion

    _operate(env, "roll_back", lambda where, actor: plan_abortion(where, model, actor, reason), dry_run, wait, json)


def rollback(
    model: str,
    env: EnvOption = "production",
    to: Annotated[int | None, typer.Option("--to", help="A version that was stable before the previous one.")] = None,
    reason: ReasonOption = "",
    dry_run: DryRunOption = False,
    wait: WaitOption = _WAIT_S,
    json: JsonOption = False,
) -> None:
    """Put the previous stable version back: it is loaded and warm. One that is older is loaded first."""
    from pipelines.release.operate import roll_back

    _operate(env, "roll_back", lambda where, actor: roll_back(where, model, to, actor, reason), dry_run, wait, json)


def kill(model: str, env: EnvOption = "production", dry_run: DryRunOption = False, json: JsonOption = False) -> None:
    """Set a canary to 0 on this machine at once, also when the ledger is down; it can only lower."""
    from pipelines.release.environments import load_environment
    from pipelines.release.kill import kill as cut
    from pipelines.release.kill import plan_kill

    where = load_environment(env)
    planned = plan_kill(where, model)
    say(planned.changes)
    if not dry_run:
        cut(where, planned)
    finish(json, planned, "nothing was changed" if dry_run else "done; the next tick rolls the version back")


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to the command line."""
    for command in (approve, reject, pause, resume, abort, rollback, kill):
        app.command()(command)


def _speak(model: str, env: str, decision: Decision, reason: str, rev: int | None, dry_run: bool, json: bool) -> None:
    from pipelines.release.actors import who
    from pipelines.release.approvals import speak, waiting
    from pipelines.release.environment_config import Right
    from pipelines.release.environments import load_environment

    where = load_environment(env)
    actor = who(where)
    actor.require(Right.APPROVE)
    say(actor.sentence)
    step = waiting(where, model)
    verb = "approving lets" if decision.value == "approve" else "rejecting keeps"
    say(f"{verb} version {step.version} of {model} ({step.artifact_digest[:12]}) at revision {step.rev}: {step.target}")
    if dry_run:
        finish(json, step, "nothing was changed")
        return
    given = speak(where, model, actor, decision, reason, step.rev if rev is None else rev)
    if json:
        print_json(given)
    else:
        until = given.expires_at if decision.value == "approve" else "the slot moves on"  # a rejection does not expire
        say(f"{given.actor}: {decision.value} {step.target} of version {step.version}, until {until}")


def _operate(
    env: str,
    permission: str,
    plan: Callable[[EnvironmentConfig, Any], Operation],
    dry_run: bool,
    wait_s: float,
    json: bool,
) -> None:
    from pipelines.release.actors import who
    from pipelines.release.environment_config import Right
    from pipelines.release.environments import load_environment
    from pipelines.release.operate import carry_out

    where = load_environment(env)
    actor = who(where)
    actor.require(Right(permission))
    say(actor.sentence)
    operation = plan(where, actor)
    say(f"{operation.model} in {env}: {operation.changes}")
    if dry_run:
        finish(json, operation, "nothing was changed")
        return
    done = carry_out(where, operation, wait_s)
    if json:
        print_json(done)
    else:
        state = f"all servers report it after {done.seconds:.2f} s" if done.served else "not confirmed yet"
        say_all([*done.sentences, f"revision {done.rev} is committed; {state}"])
    if not done.served and wait_s > 0:  # with 0 nobody wanted to wait
        raise typer.Exit(1)
