"""A person accepts the challenger: it becomes stable in the first environment, from where it may be promoted on.

It was judged against what is stable there now: whatever became stable since would have taken its place as challenger.
"""

from __future__ import annotations

from dataclasses import dataclass

from components.errors import BadInputError, GateRefusedError
from components.release.guards.evidence import GatesEvidence
from components.release.records import Placement, RecordedVersion, Slot
from components.release.states import STABLE
from pipelines.release.actors import Actor
from pipelines.release.apply import apply_outbox, problems
from pipelines.release.commit import Move, commit
from pipelines.release.environments import EnvironmentConfig
from pipelines.release.gates_evidence import gates_evidence


@dataclass(frozen=True)
class Acceptance:
    """What accepting a challenger would do; nothing was changed to find out."""

    model: str
    version: int
    digest: str
    env: str
    rev: int
    stable: int | None
    sentence: str
    """What would happen; spoken aloud before it does."""


@dataclass(frozen=True)
class Accepted:
    """A challenger that a person let in."""

    acceptance: Acceptance
    rev: int
    sentences: tuple[str, ...]
    """What does not follow yet."""


def acceptable(env: EnvironmentConfig, model: str, version: int) -> Acceptance:
    """Return what accepting would do, having checked all that can be checked by looking.

    Raises:
        BadInputError: the version is not the challenger there.
        UnknownNameError: the version was never recorded.
        InfrastructureError: the ledger cannot be reached.
    """
    slot, recorded, gates = _checked(env, model, version)
    instead = f"version {slot.stable} becomes the previous one" if slot.stable else "nothing stood there before"
    words = f"make version {version} stable in {env.name.value}, where it passed {len(gates.verdicts)} gates; {instead}"
    return Acceptance(model, version, recorded.digest, env.name.value, slot.rev, slot.stable, words)


def accept(env: EnvironmentConfig, model: str, version: int, actor: Actor) -> Accepted:
    """Make the challenger stable.

    Raises:
        BadInputError: the version is not the challenger there.
        UnknownNameError: the version was never recorded.
        DigestMismatchError: the stored bytes were changed; nothing was moved.
        GateRefusedError: a gate refused it when it was registered, or it was rejected since.
        StaleRevisionError: somebody else was faster.
        InfrastructureError: the ledger or the registry cannot be reached.
    """
    proposal = acceptable(env, model, version)
    slot, recorded, gates = _checked(env, model, version)
    if not (gates.verdicts and gates.suite_passed):
        raise GateRefusedError(
            f"version {version} of {model} was registered without gates, or on data that did not meet their suite; "
            f"nothing was moved: `towpath run {model}` judges anew"
        )
    env.place(recorded.ref)
    move = Move(
        version=version,
        target=STABLE,
        to=Placement(stable=version, previous=slot.stable),
        actor=actor.name,
        reason=f"accepted by {actor.name}; passed {len(gates.verdicts)} gates",
        plan_digest=gates.gate_config_digest,
        verdicts=gates.verdicts,
    )
    after = commit(env, slot, move)
    return Accepted(proposal, after.rev, tuple(problems(apply_outbox(env, model))))


def _checked(env: EnvironmentConfig, model: str, version: int) -> tuple[Slot, RecordedVersion, GatesEvidence]:
    ledger = env.ledger()
    slot, recorded = ledger.slot(model, env.name), ledger.version(model, version)
    if slot.candidate != version:
        challenger = f"that is version {slot.candidate}" if slot.candidate else "none waits"
        stands = "is stable there already" if slot.stable == version else "is not the challenger there"
        raise BadInputError(
            f"version {version} of {model} {stands} ({env.name.value}: {challenger}); only a challenger is accepted, "
            "and whatever else passes its gates there is stable at once"
        )
    return slot, recorded, gates_evidence(env, recorded)
