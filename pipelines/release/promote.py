"""Propose a version for an environment: look, gather evidence, judge, and only then commit. Moves no traffic itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from components.errors import AlreadyRunningError, ConflictError, GateRefusedError, StaleRevisionError, TowpathError
from components.release.guards.entry import separation
from components.release.laxness import laxer_parts
from components.release.machine import entry_verdicts
from components.release.plan import ReleasePlan
from components.release.records import Lease, Placement, RecordedVersion, Slot
from components.release.states import may_enter, on_its_way, state_of
from components.types.evaluation import Verdict
from components.types.release import Role
from pipelines.release.actors import Actor
from pipelines.release.apply import apply_outbox, problems
from pipelines.release.commit import Move, commit, refusal
from pipelines.release.entering import enter, gather
from pipelines.release.environments import EnvironmentConfig
from pipelines.release.golden import golden_verdict, replayed
from pipelines.release.observe import keep_plan, rollout_evidence
from pipelines.release.slot_lease import slot_lease
from pipelines.release.tick import LEASE_S, Ticked, tick

_FIRST_STEP_S = 3.0
_LEASE_WAIT_S = 20.0
"""A tick takes less, and so does most of the time another promotion."""

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
    verdicts = _prepare_and_commit(env, slot, recorded, plan, actor, verdicts)
    applied = apply_outbox(env, model)
    looked = _first_step(env, model)
    after = env.ledger().slot(model, env.name)
    state = state_of(recorded, after, env.ledger().events(model, env.name))
    return Promotion(proposal, after.rev, str(state), verdicts, (*problems(applied), *looked.sentences))


def _prepare_and_commit(
    env: EnvironmentConfig,
    slot: Slot,
    recorded: RecordedVersion,
    plan: ReleasePlan,
    actor: Actor,
    verdicts: tuple[Verdict, ...],
) -> tuple[Verdict, ...]:
    """Have a version loaded and asked by the servers, then commit it, alone in its slot; return all verdicts.

    What does not come so far is let go of again. Whoever waited here for somebody faster has loaded nothing.
    """
    target = env.target(slot.model, plan)
    with slot_lease(env, slot.model, LEASE_S + env.section.target.ready_s, _LEASE_WAIT_S) as lease:
        there = env.ledger().slot(slot.model, env.name)
        if there.rev != slot.rev and on_its_way(there) != recorded.version:  # the same again gets the same answer
            raise StaleRevisionError(
                f"{slot.model} in {env.name} is at revision {there.rev}, the evidence about version "
                f"{recorded.version} is of {slot.rev}: somebody else was faster and nothing was changed; look again "
                "and decide anew"
            )
        try:
            target.deploy(Role.CANARY, recorded.ref)  # prepare: loaded and warm, no traffic
            verdicts = (*verdicts, golden_verdict(target, recorded.version, replayed(env, recorded)))
            commit(env, slot, _candidate(slot, recorded, plan, actor, verdicts), lease)
        except BaseException:
            with suppress(TowpathError):
                if _is_nobodys(env, recorded, lease):
                    target.retire(Role.CANARY)
            raise
    return verdicts


def _is_nobodys(env: EnvironmentConfig, recorded: RecordedVersion, lease: Lease) -> bool:
    """Return whether what was prepared is neither a later holder's of the lease nor committed after all."""
    try:
        env.ledger().renew(lease)
        return on_its_way(env.ledger().slot(recorded.model, env.name)) != recorded.version
    except ConflictError:
        return False
    except TowpathError:  # the ledger is down: a tick loads it again if it is needed
        return True


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


def _candidate(
    slot: Slot, recorded: RecordedVersion, plan: ReleasePlan, actor: Actor, verdicts: tuple[Verdict, ...]
) -> Move:
    return Move(
        version=recorded.version,
        target="candidate",
        to=Placement(stable=slot.stable, previous=slot.previous, candidate=recorded.version),
        actor=actor.name,
        reason=f"proposed by {actor.name}; passed {len(verdicts)} gates",
        plan_digest=plan.digest,
        verdicts=verdicts,
    )


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
