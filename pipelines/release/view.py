"""What the ledger says of an environment, put together for people: for the page, the commands and explanations."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from filelock import FileLock, Timeout

from components.errors import InfrastructureError, UnknownNameError
from components.release.guards.approval import in_force
from components.release.machine import next_action, next_target
from components.release.plan import ReleasePlan
from components.release.records import Approval, Event, Evidence, RecordedVersion, Slot
from components.release.rollout import Action, Hold
from components.release.states import describe, on_its_way, state_of
from components.stage.config import nearest
from components.stage.files import write_json
from components.types.evaluation import Verdict
from components.types.release import Environment
from components.types.release_view import ApprovalView, EventView, ModelView, ReleaseView, VersionView
from pipelines.config import model_names
from pipelines.release.environments import EnvironmentConfig
from pipelines.release.observe import (
    Observation,
    ask_target,
    content_of,
    keep_observation,
    rollout_evidence,
    stored_plan,
    subject_of,
)
from pipelines.release.view_asking import Asker, without_servers

VIEW_FILE = "release-view.json"
LOCK_WAIT_S = 10.0
_EVENTS = 200


@dataclass(frozen=True)
class Explanation:
    """Why a release stands where it stands, and what it waits for."""

    view: ModelView
    action: str
    """What a tick would do now."""
    seen: Observation | None


@dataclass(frozen=True)
class _Judged:
    """What is to be said of a slot beside what the ledger holds of it."""

    next_step: str
    plan_name: str = ""
    plan: ReleasePlan | None = None
    """None where nothing stands."""
    verdicts: tuple[Verdict, ...] = ()
    counting: tuple[Approval, ...] = ()
    """What people said, as far as it holds for the next step."""


def write_view(env: EnvironmentConfig) -> ReleaseView:
    """Write what the release page shows, beside the router snapshot.

    Raises:
        InfrastructureError: the ledger cannot be reached, the disk failed, or somebody else is writing for too long.
    """
    path = env.router_path.with_name(VIEW_FILE)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # alone, or a slower writer would put back what it read before
        with FileLock(path.with_name(f".{path.name}.lock"), timeout=LOCK_WAIT_S):
            slots = [slot for slot in env.ledger().slots() if slot.env is env.name]
            models = tuple(_view_or_trouble(env, slot) for slot in slots)
            view = ReleaseView(env.name.value, datetime.now(UTC).isoformat(timespec="seconds"), models)
            write_json(path, view)
    except Timeout as error:
        raise InfrastructureError(
            f"{path} was being written by somebody else for {LOCK_WAIT_S:g} s; the next tick tries again"
        ) from error
    except OSError as error:
        raise InfrastructureError(f"{path} cannot be written ({error.strerror or error}); check the disk") from error
    return view


def model_view(env: EnvironmentConfig, model: str) -> ModelView:
    """Return one model as the ledger has it; asks no server.

    Raises:
        InfrastructureError: the ledger cannot be reached.
    """
    return _explained(env, model, None).view


def known_model_view(env: EnvironmentConfig, model: str) -> ModelView:
    """Return one model as the ledger has it; one that is neither configured nor recorded is an error.

    Raises:
        UnknownNameError: nobody knows the model.
        InfrastructureError: the ledger cannot be reached.
    """
    _require_known(env, model)
    return model_view(env, model)


def asked_model_view(asker: Asker) -> ModelView:
    """Return one model as the ledger has it, judged by what its servers say; those that say nothing are no error.

    Raises:
        UnknownNameError: nobody knows the model.
        InfrastructureError: the ledger cannot be reached.
    """
    env, model = asker.env, asker.model
    _require_known(env, model)
    slot = env.ledger().slot(model, env.name)
    number = subject_of(slot)
    seen = None if number is None else asker.about(slot, stored_plan(env, slot, number)[1])
    return _explained(env, model, seen).view


def explain(env: EnvironmentConfig, model: str) -> Explanation:
    """Return one model with what its servers say now, and what a tick would do.

    Raises:
        UnknownNameError: the ledger knows no version of it.
        InfrastructureError: the ledger cannot be reached.
    """
    _require_known(env, model)
    slot = env.ledger().slot(model, env.name)
    number = subject_of(slot)
    if number is None:
        return _explained(env, model, None)
    _, plan = stored_plan(env, slot, number)
    seen = ask_target(env.target(model, plan), (plan.bake.long_window_s, plan.bake.short_window_s))
    return _explained(env, model, seen)


def _explained(env: EnvironmentConfig, model: str, seen: Observation | None) -> Explanation:
    ledger = env.ledger()
    slot, events = ledger.slot(model, env.name), ledger.events(model, env.name)
    number, doing = subject_of(slot), ""
    judged = _Judged(f"nothing of {model} stands in {env.name.value} yet")
    if number is not None:
        doing, judged = _looked_at(env, slot, ledger.version(model, number), events, seen)
    view = _view(slot, ledger.versions(model), events, ledger.approvals(model, env.name), judged)
    return Explanation(view, doing, seen)


def _looked_at(
    env: EnvironmentConfig, slot: Slot, version: RecordedVersion, events: tuple[Event, ...], seen: Observation | None
) -> tuple[str, _Judged]:
    """Return what a tick would do about a version, and what is to be said of its slot."""
    plan_name, plan = stored_plan(env, slot, version.version)
    trouble = None
    if seen is not None:
        trouble = keep_observation(env, slot, version, seen, plan.pause.metric_errors, store=False)
    evidence = rollout_evidence(env, slot, version, events, seen=seen, trouble=trouble)
    action = next_action(plan, slot, evidence)
    why = _not_asked(env, slot.model) if seen is None else seen.problem
    action = without_servers(action, why) if why else action
    verdicts = action.verdicts or _judged_last(env.ledger().newest_evidence(version, env.name).get("decision"))
    next_step = describe(plan, slot, action)
    if env.name is Environment.LOCAL and slot.candidate is not None:
        accepts = f"`towpath promote {slot.model} {version.version} --to local` accepts it"
        next_step = f"version {version.version} is the challenger: {accepts}"
    counting = in_force(plan, slot, next_target(plan, slot), evidence)
    return _doing(action), _Judged(next_step, plan_name, plan, verdicts, counting)


def _view_or_trouble(env: EnvironmentConfig, slot: Slot) -> ModelView:
    """Return one model as the ledger has it; where that cannot be read, what is wrong: the others are shown anyway."""
    try:
        return model_view(env, slot.model)
    except InfrastructureError:
        raise
    except Exception as error:  # whatever a damaged row of one model leads to
        return _view(slot, (), (), (), _Judged(f"what is recorded of {slot.model} cannot be shown: {error}"))


def _not_asked(env: EnvironmentConfig, model: str) -> str:
    return f"the servers were not asked here; `towpath explain-release {model} --env {env.name.value}` asks them"


def _require_known(env: EnvironmentConfig, model: str) -> None:
    if model not in model_names(env.root) and not env.ledger().versions(model):
        known = model_names(env.root)
        raise UnknownNameError(f"no model `{model}`{nearest(model, known)}; there are: {', '.join(known) or 'none'}")


def _view(
    slot: Slot,
    versions: tuple[RecordedVersion, ...],
    events: tuple[Event, ...],
    approvals: tuple[Approval, ...],
    judged: _Judged,
) -> ModelView:
    plan = judged.plan if on_its_way(slot) is not None else None
    return ModelView(
        model=slot.model,
        env=slot.env.value,
        rev=slot.rev,
        plan=judged.plan_name if plan else "",
        **asdict(slot.placement),
        next_step=judged.next_step,
        versions=tuple(
            VersionView(each.version, each.digest, str(state_of(each, slot, events)), each.author)
            for each in reversed(versions)
        ),
        verdicts=judged.verdicts,
        approvals=tuple(_approval(each, each in judged.counting) for each in approvals),
        events=tuple(_event(each) for each in reversed(events[-_EVENTS:])),
        max_psi=plan.shadow.max_psi if plan and plan.shadow else None,
        split_p=plan.pause.split_p if plan else None,
    )


def _approval(approval: Approval, counts: bool) -> ApprovalView:
    return ApprovalView(
        approval.version,
        approval.target,
        approval.actor,
        approval.decision.value,
        approval.reason,
        approval.at,
        approval.expires_at,
        counts,
    )


def _event(event: Event) -> EventView:
    return EventView(event.rev, event.time, event.version, event.target, event.actor, event.reason, event.hash)


def _judged_last(decision: Evidence | None) -> tuple[Verdict, ...]:
    if decision is None:
        return ()
    return tuple(
        Verdict(each["gate"], each["passed"], tuple(each["reasons"])) for each in content_of(decision)["verdicts"]
    )


def _doing(action: Action) -> str:
    if isinstance(action, Hold):
        return "wait for a person" if action.needs_person else "wait"
    return {"Advance": "advance", "Pause": "pause", "RollBack": "roll back"}[type(action).__name__]
