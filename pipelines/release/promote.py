"""Propose a version for an environment: look, gather evidence, judge, and only then commit. Moves no traffic itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from components.errors import AlreadyRunningError, GateRefusedError, TowpathError
from components.release.guards.entry import separation
from components.release.laxness import laxer_parts
from components.release.machine import entry_verdicts
from components.release.plan import ReleasePlan
from components.release.records import RecordedVersion, Slot
from components.release.states import may_enter, state_of
from components.types.evaluation import Verdict
from pipelines.release.actors import Actor
from pipelines.release.apply import apply_outbox, problems
from pipelines.release.candidate import make_candidate
from pipelines.release.commit import refusal
from pipelines.release.entering import enter, gather
from pipelines.release.environments import EnvironmentConfig
from pipelines.release.observe import keep_plan, rollout_evidence
from pipelines.release.tick import Ticked, tick

_FIRST_STEP_S = 3.0

Report = Callable[[str, int, int], None]
"""Hears what is going on, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class Proposal:
    """What promoting a version would do; nothing was changed to find out."""

    model: str
    version: int
    digest: str
    env: str
    source: str
    rev: int
    plan: str
    stable: int | None
    steps: tuple[str, ...]
    """What would happen, in order; spoken aloud before it does."""


@dataclass(frozen=True)
class Promotion:
    """A version that entered an environment."""

    proposal: Proposal
    rev: int
    state: str
    verdicts: tuple[Verdict, ...]
    sentences: tuple[str, ...]


def propose(
    model: str, version: int, env: EnvironmentConfig, source: EnvironmentConfig, plan_name: str | None
) -> Proposal:
    """Return what promoting would do, having checked all that can be checked by looking.

    Raises:
        BadInputError: unknown model, version or plan; skipping an environment; a version that may not be released.
        ConflictError: another rollout is going on.
        InfrastructureError: a ledger cannot be reached.
    """
    slot, recorded, _ = _checked(model, version, env, source)
    plan = env.allowed_plan(plan_name)
    return Proposal(
        model=model,
        version=version,
        digest=recorded.digest,
        env=env.name.value,
        source=source.name.value,
        rev=slot.rev,
        plan=plan_name or env.plan_name,
        stable=slot.stable,
        steps=(_plan_step(plan_name or env.plan_name, plan), *_steps(slot, recorded, env, source, plan)),
    )


def promote(
    model: str,
    version: int,
    env: EnvironmentConfig,
    source: EnvironmentConfig,
    plan_name: str | None,
    actor: Actor,
    root: Path,
    report: Report,
) -> Promotion:
    """Bring a version into an environment, and start its rollout.

    Raises:
        BadInputError: unknown model, version or plan; skipping an environment; a version that may not be released.
        ConflictError: another rollout is going on, somebody else was faster, or is at work on the slot.
        GateRefusedError: a gate refuses, or the servers answer golden requests otherwise; nothing was moved.
        DigestMismatchError: the bytes are not those that were registered; nothing was moved.
        InfrastructureError: a ledger, a registry or the target cannot be reached; nothing was moved.
    """
    proposal = propose(model, version, env, source, plan_name)
    plan = env.allowed_plan(plan_name)
    env.target(model, plan).traffic()  # a target that is down is found before the long work
    enter(model, version, source, env, root)
    recorded = env.ledger().version(model, version)
    slot = env.ledger().slot(model, env.name)
    if slot.rev != proposal.rev:  # the evidence would be of another revision than the one that was looked at
        slot, recorded, _ = _checked(model, version, env, source)
    keep_plan(env, slot, recorded, proposal.plan, plan)
    for evidence in gather(model, version, env, plan, root, report):
        env.ledger().add_evidence(evidence)
    verdicts = (
        separation(plan, env.name, actor=actor.name, author=recorded.author),
        *entry_verdicts(plan, env.name, slot, rollout_evidence(env, slot, recorded, ())),
    )
    if refused := [verdict for verdict in verdicts if not verdict.passed]:
        raise GateRefusedError(refusal(model, version, env.name.value, refused))
    verdicts = make_candidate(env, slot, recorded, plan, actor, verdicts)
    applied = apply_outbox(env, model)
    looked = _first_step(env, model)
    after = env.ledger().slot(model, env.name)
    state = state_of(recorded, after, env.ledger().events(model, env.name))
    return Promotion(proposal, after.rev, str(state), verdicts, (*problems(applied), *looked.sentences))


def _first_step(env: EnvironmentConfig, model: str) -> Ticked:
    """Let the rollout take its first step, for which the servers must report the candidate's revision first."""
    deadline = time.monotonic() + _FIRST_STEP_S
    while True:
        try:
            looked = tick(env, model)
        except TowpathError as error:  # it is committed: whoever ticks next goes on
            action = "busy" if isinstance(error, AlreadyRunningError) else "failed"
            rev = env.ledger().slot(model, env.name).rev
            looked = Ticked(model, env.name.value, rev, action, "", False, (), (str(error),))
        if looked.target or looked.needs_person or time.monotonic() >= deadline:
            return looked
        time.sleep(0.1)


def _checked(
    model: str, version: int, env: EnvironmentConfig, source: EnvironmentConfig
) -> tuple[Slot, RecordedVersion, str]:
    recorded = source.ledger().version(model, version)
    stands = state_of(recorded, source.ledger().slot(model, source.name), source.ledger().events(model, source.name))
    slot = env.ledger().slot(model, env.name)
    may_enter(recorded, env.name, slot, stands)
    return slot, recorded, str(stands)


def _plan_step(name: str, plan: ReleasePlan) -> str:
    """Name the plan, and say aloud in which of its parts it is laxer than the defaults."""
    parts = laxer_parts(plan)
    return f"follow plan {name}" + (f", which is laxer than the defaults in {', '.join(parts)}" if parts else "")


def _steps(
    slot: Slot, recorded: RecordedVersion, env: EnvironmentConfig, source: EnvironmentConfig, plan: ReleasePlan
) -> tuple[str, ...]:
    """Say what will happen, in order."""
    where = env.name.value
    entry = plan.entry
    steps = [
        f"copy product {recorded.digest[:12]} from {source.name.value} to {where} and check its digest",
        f"load it in a sandboxed server, which must answer {entry.sandbox_requests:,} real rows, p95 at most "
        f"{entry.latency_p95_ms:g} ms; replay {entry.requests:,} rows against the offline prediction, and send "
        f"{entry.load_requests_per_s:g} requests/s for {entry.load_s:g} s",
        f"load it on the servers of {where}, which must answer golden requests like the offline prediction, and "
        f"commit version {recorded.version} as candidate at revision {slot.rev + 1}",
    ]
    steps += _compared_steps(slot, plan)
    needed = plan.approvals.stable
    steps.append(
        f"stable after {needed} approval{'s' if needed > 1 else ''}, the author ({recorded.author}) excluded"
        if needed
        else "stable without anybody's approval: the plan asks for none"
    )
    if slot.stable is not None:
        steps.append(f"version {slot.stable} stays loaded as the previous one for {plan.bake.seconds:g} s")
    return tuple(steps)


def _compared_steps(slot: Slot, plan: ReleasePlan) -> list[str]:
    """Say how a version is compared with what is stable, and what of that the plan leaves out."""
    if slot.stable is None:
        where = slot.env.value
        return [f"nothing is stable in {where} yet: there is nothing to compare with: no shadow, no canary"]
    if plan.shadow:
        shadow = (
            f"shadow beside version {slot.stable}: {plan.shadow.requests:,} mirrored requests and "
            f"{plan.shadow.seconds:g} s, prediction PSI below {plan.shadow.max_psi:g}"
        )
    else:
        shadow = "no shadow: users are the first to meet the version"
    canary = [
        f"canary at {step.weight} % of the users: {step.requests:,} requests and {step.seconds:g} s"
        for step in plan.canary
    ]
    return [shadow, *(canary or ["no canary: all users meet the version at once"])]
