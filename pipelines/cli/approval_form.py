"""The command `ask-approval`: has Prefect ask whether a rollout may go on, and waits. Decides nothing."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from components.errors import ConflictError, GateRefusedError
from pipelines.cli.operations import EnvOption
from pipelines.cli.output import JsonOption, finish, print_json, say

_HOURS = 24.0


def ask_approval(
    model: str,
    env: EnvOption = "production",
    hours: Annotated[
        float, typer.Option("--hours", min=0.001, max=720, help="How long to wait for somebody.")
    ] = _HOURS,
    json: JsonOption = False,
) -> None:
    """Ask in Prefect for the approval that a rollout waits for, until it is given or refused, there or elsewhere."""
    from pipelines.cli.schedule import prefect_address
    from pipelines.release.approvals import waiting
    from pipelines.release.environments import load_environment

    step = waiting(load_environment(env), model)
    if not step.needed:
        raise ConflictError(f"{step.target} of {model} in {env} needs nobody's approval at revision {step.rev}")
    os.environ["PREFECT_API_URL"] = prefect_address()
    say(f"version {step.version} of {model} waits for {step.target} in {env}; Prefect asks in a run of flow `approval`")
    from prefect.exceptions import FlowPauseTimeout

    from pipelines.rollouts import approval_flow

    try:
        given = approval_flow(model, env, timeout_s=round(hours * 3600))
    except FlowPauseTimeout:
        raise GateRefusedError(
            f"nobody filled in the form within {hours:g} h; version {step.version} of {model} waits on: ask again, or "
            f"use `towpath approve {model} --env {env}`"
        ) from None
    if given is None:
        finish(json, given, f"it was decided elsewhere; `towpath explain-release {model} --env {env}` says how")
        return
    sentence = f"{given.actor}: {given.decision.value} {given.target} of version {given.version}"
    if given.decision.value != "approve":
        raise GateRefusedError(f"{sentence}: {given.reason}" if given.reason else sentence)
    if json:
        print_json(given)
    else:
        say(f"{sentence}, until {given.expires_at}")


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to the command line."""
    app.command()(ask_approval)
