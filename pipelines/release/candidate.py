"""A version becomes a slot's candidate: loaded by the servers, asked there, committed. Gathers no evidence."""

from __future__ import annotations

from contextlib import suppress

from components.errors import ConflictError, StaleRevisionError, TowpathError
from components.release.plan import ReleasePlan
from components.release.records import Lease, Placement, RecordedVersion, Slot
from components.release.states import on_its_way
from components.types.evaluation import Verdict
from components.types.release import Role
from pipelines.release.actors import Actor
from pipelines.release.commit import Move, commit
from pipelines.release.environments import EnvironmentConfig
from pipelines.release.golden import golden_verdict, replayed
from pipelines.release.slot_lease import slot_lease
from pipelines.release.tick import LEASE_S

_LEASE_WAIT_S = 20.0
"""A tick takes less, and so does most of the time another promotion."""


def make_candidate(
    env: EnvironmentConfig,
    slot: Slot,
    recorded: RecordedVersion,
    plan: ReleasePlan,
    actor: Actor,
    verdicts: tuple[Verdict, ...],
) -> tuple[Verdict, ...]:
    """Have a version loaded and asked by the servers, then commit it, alone in its slot; return all verdicts.

    What does not come so far is let go of again. Whoever waited here for somebody faster has loaded nothing.

    Raises:
        ConflictError: somebody else was faster, or is at work on the slot.
        GateRefusedError: the servers answer golden requests otherwise, or a verdict refuses.
        DigestMismatchError: the bytes are not those that were registered.
        FaultError: the version does not load.
        InfrastructureError: the ledger or the target cannot be reached.
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
