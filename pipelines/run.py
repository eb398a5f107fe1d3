"""One run of a model's pipeline, from the command's point of view: alone, decided early, servers at hand.

Whether there is anything to do is decided by DVC and the ledger; only then are Prefect and MLflow imported.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from components.errors import RunInterruptedError, SchemaError, UnknownNameError, ValidationRefusedError
from components.stage.config import nearest
from pipelines.batches.intake import hold_new, take_in
from pipelines.batches.telling import batch_tags, count_held, require_good_news, tell_of_batches
from pipelines.config import ModelConfig, load_model
from pipelines.console import RunView
from pipelines.outcome import Intake, RunOutcome
from pipelines.run_lock import alone, require_not_running
from pipelines.schedules.checkout import from_project
from pipelines.selection import Settled, baseline_training, settled_version, stays_out
from pipelines.stages import Reasons, changed_stages, following, model_stages


@dataclass(frozen=True)
class RunRequest:
    """What is asked of a run."""

    model: str
    only: tuple[str, ...] = ()
    """Trainings by name or kind; empty for all."""
    force: tuple[str, ...] = ()
    """Stages or steps (``train``) to run though nothing changed, or ``all``."""
    register: bool = True
    candidate: str | None = None
    """A training to judge and register instead of the winner."""
    pull: bool = False
    """Whether results that the run cache knows are fetched from the remote: a new checkout has none of their bytes."""
    challenger: bool = False
    """Whether what passes is registered as the challenger only, and is stable nowhere until a person accepts it."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Kept with the run in MLflow."""


@dataclass(frozen=True)
class RunPlan:
    """A request, checked against the project."""

    config: ModelConfig
    trainings: tuple[str, ...]
    """The chosen ones, and the baseline that the gates need."""
    stages: tuple[str, ...]
    """In topological order."""
    forced: frozenset[str]
    changed: Reasons
    register: bool
    candidate: str | None
    pull: bool = False
    challenger: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)


def plan_run(request: RunRequest, root: Path = Path()) -> RunPlan:
    """Check a request and ask DVC what is stale.

    Raises:
        BadInputError: a name or the configuration is wrong.
    """
    config = load_model(request.model, root)
    chosen = config.select(request.only)
    baseline = baseline_training(config)
    if baseline is not None:
        chosen.setdefault(baseline, config.trainings[baseline])
    trainings = tuple(name for name in config.trainings if name in chosen)
    stages = tuple(model_stages(config.name, trainings))
    candidate = next(iter(config.select((request.candidate,)))) if request.candidate else None
    forced = _forced(request.force, stages)
    changed = changed_stages(stages, root)
    return RunPlan(
        config, trainings, stages, forced, changed, request.register, candidate, request.pull, request.challenger,
        request.tags,
    )  # fmt: skip


def check_request(request: RunRequest, root: Path = Path()) -> None:
    """Check the names in a request, and that no other run of the model is going on, before anything is edited.

    Raises:
        BadInputError: a name or the configuration is wrong.
        AlreadyRunningError: another run of the model is going on.
    """
    config = load_model(request.model, root)
    config.select(request.only)
    _forced(request.force, tuple(model_stages(config.name, config.trainings)))
    require_not_running(request.model, root)


def planned(request: RunRequest, edited: tuple[str, ...] = (), root: Path = Path()) -> Reasons:
    """Return what a run would do, and why, without probing the source or changing anything.

    Args:
        request: What is asked for.
        edited: Keys of the configuration that would be edited first.
        root: The project.
    """
    plan = plan_run(request, root)
    forced = dict.fromkeys(sorted(plan.forced), ("it is forced",))
    would = following({**plan.changed, **_edited(edited, plan), **forced}, plan.stages, plan.config.name)
    return {stage: would[stage] for stage in plan.stages if stage in would}


def _edited(keys: tuple[str, ...], plan: RunPlan) -> dict[str, tuple[str, ...]]:
    """Return the stages whose parameters the keys are; gates are no stage's."""
    steps = {"data": "ingest", "features": "prepare"}
    found: dict[str, tuple[str, ...]] = {}
    for key in keys:
        top, name, section, *_ = [*key.split("."), ""]
        if top == "trainings":
            stages = [f"train@{name}"]
        elif section == "evaluation":
            stages = [stage for stage in plan.stages if stage.startswith("evaluate@")]
        else:
            stages = [f"{steps[section]}@{name}"] if section in steps else []
        for stage in stages:
            if stage in plan.stages:
                found[stage] = (*found.get(stage, ()), f"parameter {key} would change")
    return found


def run_pipeline(request: RunRequest, view: RunView, root: Path = Path()) -> RunOutcome:
    """Bring a model up to date.

    Raises:
        AlreadyRunningError: another run of the model is going on.
        TowpathError: what stopped it; a refusal by data or gates is a `RefusedError`.
    """
    begin = time.monotonic()
    with alone(request.model, root):
        config = load_model(request.model, root)
        intake = take_in(config.name, config.model.data, root)
        if intake:
            tell_of_batches(intake, view, root)
            require_good_news(intake)
        plan = plan_run(request, root)
        if not plan.changed and not plan.forced:
            settled = settled_version(config, plan.trainings, root, plan.candidate) if plan.register else None
            if settled is not None and not (settled.taken_back and plan.challenger):  # that one asks for a person again
                return replace(_nothing_to_do(config.name, settled, begin), batches=intake)
        plan = replace(plan, tags={**plan.tags, **batch_tags(config.name, config.model.data, root)})
        with _holding(config, intake, root):
            return replace(_run_flow(plan, view, root), batches=intake)


def _nothing_to_do(model: str, settled: Settled, begin: float) -> RunOutcome:
    return RunOutcome(
        model,
        up_to_date=True,
        seconds=time.monotonic() - begin,
        version=settled.version,
        challenger=settled.challenger,
        taken_back=settled.taken_back,
        sentences=(stays_out(model, settled.version),) if settled.taken_back else (),
    )


@contextlib.contextmanager
def _holding(config: ModelConfig, intake: Intake | None, root: Path) -> Iterator[None]:
    """Put new batches into quarantine that are good by themselves, and make the dataset bad."""
    try:
        yield
    except (SchemaError, ValidationRefusedError) as error:
        reason = from_project(str(error), root)
        if intake and (held := hold_new(config.name, config.model.data, reason, root)):
            count_held(intake, root)
            raise ValidationRefusedError(
                f"{error}; so what was new is QUARANTINED ({', '.join(held)}), and the next run goes on without it"
            ) from error
        raise


def _run_flow(plan: RunPlan, view: RunView, root: Path) -> RunOutcome:
    from pipelines.services.local import prefect_api

    with _terminable(), prefect_api(root) as address:
        os.environ["PREFECT_API_URL"] = address
        from pipelines.retrying import prefect_answers
        from pipelines.training import run_training_flow

        with prefect_answers(address, view.note):
            return run_training_flow(plan, view, root)


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Turn signals into an error that says how to go on, also before and after the flow itself."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        raise RunInterruptedError("interrupted; run the same command again to go on") from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _forced(words: tuple[str, ...], stages: tuple[str, ...]) -> frozenset[str]:
    forced: set[str] = set()
    for word in words:
        found = {stage for stage in stages if word in ("all", stage, stage.partition("@")[0])}
        if not found:
            known = sorted({stage.partition("@")[0] for stage in stages})
            raise UnknownNameError(
                f"--force {word}: no such stage{nearest(word, known)}; there are: all, {', '.join(known)}"
            )
        forced |= found
    return frozenset(forced)
