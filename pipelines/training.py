"""The training flow: DVC stages in order, trainings side by side, then choice, gates, registry and ledger.

Everything that is reproducible is a DVC stage; everything that asks or changes the world outside is a task here.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import wait
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar, cast

from prefect import flow, task
from prefect.context import FlowRunContext
from prefect.futures import PrefectConcurrentFuture, PrefectFuture
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from components.errors import RunInterruptedError, TowpathError
from components.types.evaluation import Verdict
from pipelines.console import LineView, RunView
from pipelines.judged import Judged, remember
from pipelines.judgement import Judgement, judge_candidate, require_passed
from pipelines.outcome import RunOutcome, StageOutcome
from pipelines.promotion import register_and_place
from pipelines.recording import Recording
from pipelines.retrying import TASK_OPTIONS, deliver
from pipelines.run import RunPlan, RunRequest, plan_run
from pipelines.run_report import record_judgement
from pipelines.selection import Choice, Settled, choose, stays_out
from pipelines.stages import Reasons, StageRun, StageRunner, following

Result = TypeVar("Result")

_prepared: ContextVar[Work | None] = ContextVar("prepared", default=None)


class Work:
    """What the tasks of one flow run share; a plain object, so that Prefect does not look into it."""

    def __init__(self, plan: RunPlan, view: RunView, root: Path) -> None:
        """Prepare to run `plan`."""
        self.plan = plan
        self.view = view
        self.root = root
        self.runner = StageRunner(root, pull=plan.pull)
        self.recording = Recording(plan.config.name, root)
        self.stages: list[StageRun] = []
        self.report: Path | None = None

    def stage(self, stage: str, started: Any = None) -> StageRun:
        """Bring one stage up to date, and say so to those who watch."""

        def begin(call_dir: Path) -> None:
            self.view.started(stage, call_dir)
            if started:
                started(call_dir)

        verdict, begun = "failed", time.monotonic()
        try:
            done = self.runner.run(stage, force=stage in self.plan.forced, started=begin)
            verdict = done.verdict
            self.stages.append(done)
        finally:
            self.view.finished(stage, verdict, time.monotonic() - begun)
        return done

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Show a step that is no stage to those who watch."""
        self.view.started(name)
        verdict, begun = "failed", time.monotonic()
        try:
            yield
            verdict = "done"
        finally:
            self.view.finished(name, verdict, time.monotonic() - begun)


@task(name="record", **TASK_OPTIONS)
def record_task(work: Work, flow_run_id: str, flow_run_url: str) -> str:
    """Start the MLflow run; it runs beside the first stages, because importing MLflow takes its time."""
    plan = work.plan
    parameters: dict[str, object] = {"trainings": ",".join(plan.trainings), "forced": ",".join(sorted(plan.forced))}
    return work.recording.open(
        flow_run_id=flow_run_id, flow_run_url=flow_run_url, tags=dict(plan.tags), parameters=parameters
    )


@task(name="stage", task_run_name="{stage}", **TASK_OPTIONS)
def stage_task(work: Work, stage: str) -> StageRun:
    """Bring one stage up to date."""
    return work.stage(stage)


@task(name="training", task_run_name="{training}", **TASK_OPTIONS)
def training_task(work: Work, training: str) -> StageRun:
    """Train and evaluate, with live metrics in MLflow."""
    parameters = work.plan.config.trainings[training].model_dump(mode="json")
    with work.recording.training(training, parameters) as recording:
        done = work.stage(f"train@{training}", recording.follow)
        recording.finish(done)
        work.stage(f"evaluate@{training}")
        recording.evaluated()
    return done


@task(name="gates", **TASK_OPTIONS)
def gates_task(work: Work, choice: Choice) -> Judgement:
    """Gather what the gates need, measured now and here, judge, and record what they say before a refusal is raised."""
    with work.step("gates"):
        judgement, _ = judge_candidate(work.plan.config, choice, work.root)
        work.report = record_judgement(work.recording, choice, judgement, work.root)
        require_passed(judgement)
        passed = Judged(choice.candidate.product_digest, choice.candidate.dataset_digest, judgement.gate_config_digest)
        remember(work.plan.config.name, passed, work.root)
        return judgement


@task(name="register", **TASK_OPTIONS)
def register_task(work: Work, judgement: Judgement, flow_run_id: str) -> Settled:
    """Push the bytes, register the version, make it stable locally or the challenger, project the aliases."""
    plan = work.plan
    with work.step("register"):
        return register_and_place(
            plan.config, judgement, work.recording, work.root, flow_run_id, challenger=plan.challenger
        )


_task_runner = cast("TaskRunner[PrefectFuture[Any]]", ThreadPoolTaskRunner(max_workers=max(2, os.cpu_count() or 2)))


@flow(
    name="training",
    flow_run_name="{model}",
    task_runner=_task_runner,
    persist_result=False,
    validate_parameters=False,
)
def training_flow(model: str, only: Sequence[str] = (), force: Sequence[str] = (), register: bool = True) -> RunOutcome:
    """Bring a model up to date.

    Args:
        model: The model.
        only: Trainings by name or kind; empty for all.
        force: Stages to run though nothing changed.
        register: Whether to go on to the registry.

    Raises:
        TowpathError: what stopped it.
    """
    begin = time.monotonic()
    work = _prepared.get()
    if work is None:
        plan = plan_run(RunRequest(model, tuple(only), tuple(force), register))
        work = Work(plan, LineView(), Path())
    succeeded = False
    try:
        with _interruptible():
            outcome = _body(work, begin)
        succeeded = True
        return outcome
    except KeyboardInterrupt:
        work.runner.cancel()
        raise RunInterruptedError("interrupted; run the same command again to go on") from None
    except BaseException:
        work.runner.cancel()
        raise
    finally:
        work.recording.close(succeeded=succeeded)


def run_training_flow(plan: RunPlan, view: RunView, root: Path) -> RunOutcome:
    """Run the flow on a plan that is made already.

    Raises:
        TowpathError: what stopped it.
    """
    token = _prepared.set(Work(plan, view, root))
    try:
        outcome: RunOutcome = training_flow(plan.config.name, list(plan.trainings), sorted(plan.forced), plan.register)
        return outcome
    finally:
        _prepared.reset(token)
        deliver(plan.config.name)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Turn SIGINT and SIGTERM into KeyboardInterrupt here, where the stages can be stopped.

    Only the main thread may set handlers; a flow that runs in another one is stopped by who runs it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {each: signal.signal(each, signal.default_int_handler) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _body(work: Work, begin: float) -> RunOutcome:
    plan, name = work.plan, work.plan.config.name
    flow_run_id, flow_run_url = _flow_run()
    recorded = record_task.submit(work, flow_run_id, flow_run_url)
    for step in ("ingest", "validate", "prepare"):
        _result(stage_task.submit(work, f"{step}@{name}"))
    _result(recorded)
    _all_results([training_task.submit(work, training) for training in plan.trainings])
    choice = choose(plan.config, plan.trainings, work.root, plan.candidate)
    judgement = _result(gates_task.submit(work, choice))
    settled = _result(register_task.submit(work, judgement, flow_run_id)) if plan.register else None
    order = {stage: index for index, stage in enumerate(plan.stages)}
    stages = sorted(work.stages, key=lambda done: order[done.stage])
    return RunOutcome(
        model=name,
        up_to_date=False,
        seconds=time.monotonic() - begin,
        winner=choice.candidate.training,
        version=settled.version if settled else None,
        challenger=bool(settled and settled.challenger),
        taken_back=bool(settled and settled.taken_back),
        mlflow_run_id=work.recording.run_id,
        flow_run_id=flow_run_id,
        stages=tuple(StageOutcome(done.stage, done.verdict, done.seconds) for done in stages),
        reasons=_reasons(plan),
        verdicts=judgement.verdicts,
        sentences=_sentences(work, choice.sentence, judgement.verdicts, settled, flow_run_url),
    )


def _result(future: PrefectFuture[Result]) -> Result:
    """Return a task's result, waiting in short steps: a signal that another thread took wakes no endless wait."""
    running = cast("PrefectConcurrentFuture[Result]", future).wrapped_future  # as the thread pool's futures have one
    while wait([running], timeout=0.2).not_done:
        pass
    return future.result()


def _all_results(futures: Sequence[PrefectFuture[StageRun]]) -> None:
    """Wait for every training, so that one that fails does not stop the others; then raise the first failure."""
    failures: list[TowpathError] = []
    for future in futures:
        try:
            _result(future)
        except TowpathError as error:
            failures.append(error)
    if failures:
        raise failures[0]


def _flow_run() -> tuple[str, str]:
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return "", ""
    api = os.environ.get("PREFECT_API_URL", "").removesuffix("/api")
    identity = str(context.flow_run.id)
    return identity, f"{api}/runs/flow-run/{identity}" if api else ""


def _reasons(plan: RunPlan) -> Reasons:
    forced = dict.fromkeys(sorted(plan.forced), ("it is forced",))
    return following({**plan.changed, **forced}, plan.stages, plan.config.name)


def _sentences(
    work: Work, chosen: str, verdicts: Sequence[Verdict], settled: Settled | None, flow_run_url: str
) -> tuple[str, ...]:
    name = work.plan.config.name
    lines = [chosen, f"{len(verdicts)} gates passed"]
    if settled is not None and settled.taken_back:
        lines.append(stays_out(name, settled.version))
    elif settled is not None and settled.challenger:
        accept = f"`towpath promote {name} {settled.version} --to local` accepts it"
        lines.append(f"version {settled.version} of {name} is registered as the challenger and serves nobody; {accept}")
    elif settled is not None:
        stands = f"version {settled.version} of {name} is registered and stable locally"
        lines.append(f"{stands}; `towpath serve {name}` serves it")
    if work.report:
        lines.append(f"report: {work.report}")
    if url := work.recording.tracker().run_url(work.recording.run_id):
        lines += [f"MLflow run: {url}", f"Prefect flow run: {flow_run_url}"]
    return tuple(lines)
