"""The scheduled training: a model brought up to date in a clean checkout, its bytes pulled and pushed, all recorded.

The run itself is a process of the checkout's own code, which dies with this one. Only a server or a disk that failed is
tried again: a gate that refused, a bad batch or a time-out is for people.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext

from components.errors import (
    InfrastructureError,
    StageFailedError,
    StageTimeoutError,
    TowpathError,
    error_from_json,
)
from components.stage.files import write_json
from components.stage.process import kill_group
from components.types import record
from pipelines.outcome import RunOutcome
from pipelines.retrying import is_infrastructure
from pipelines.run import RunRequest
from pipelines.schedules.checkout import Checkout, open_checkout, resolve
from pipelines.schedules.presence import COMMIT, RESUMES, note_labels, note_process
from pipelines.state import STATE

RUNS = STATE / "schedules" / "runs"
LOGS = STATE / "schedules" / "logs"
_BACK_OFF_S = (60.0, 600.0)
_Trained: TypeAlias = tuple[dict[str, str], dict[str, str], RunOutcome]


@dataclass(frozen=True)
class ScheduledRun:
    """What a scheduled run used and what it came to; stands in ``.towpath/schedules/runs``."""

    flow_run_id: str
    scheduled_for: str
    model: str
    ref: str
    commit: str
    used: dict[str, str]
    """Digests of dvc.lock and of the environment's locks, before the run."""
    left: dict[str, str]
    """The same after it."""
    outcome: RunOutcome | None
    """None for one that was refused or failed."""
    seconds: float
    error: str = ""
    """What stopped it."""
    resumes: str = ""
    """The flow run that was killed and that this one goes on from."""
    cause: Mapping[str, str] = field(default_factory=dict)
    """Why it was asked for, where that was not its time: the tags of its run in MLflow."""


@flow(name="scheduled-training", flow_run_name="{model}", persist_result=False, on_running=[note_process])
def scheduled_training(
    model: str,
    ref: str = "HEAD",
    timeout_s: int = 14_400,
    challenger: bool = False,
    cause: dict[str, str] | None = None,
) -> ScheduledRun:
    """Bring a model up to date in a clean checkout.

    Args:
        model: The model.
        ref: The branch, tag or commit to run; what it names when the run begins is the run's commit.
        timeout_s: How long a try may take, its pull included; it is killed then, and not tried again.
        challenger: Whether what passes its gates becomes the challenger only, as a retraining's does.
        cause: Why it was asked for, as tags of its run in MLflow.

    Raises:
        TowpathError: what stopped it.
    """
    commit = resolve(ref)
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise RuntimeError("a scheduled training runs in a flow run")
    run = context.flow_run
    note_labels(run, {COMMIT: commit})  # a run that goes on from this one takes the same commit
    request = RunRequest(model, pull=True, challenger=challenger, tags=cause or {})
    asked = ScheduledRun(
        flow_run_id=str(run.id),
        scheduled_for=run.expected_start_time.isoformat() if run.expected_start_time else "",
        model=model,
        ref=ref,
        commit=commit,
        used={},
        left={},
        outcome=None,
        seconds=0.0,
        resumes=str(run.labels.get(RESUMES, "")),
        cause=cause or {},
    )
    done = recorded(asked, lambda: _train(request, model, commit, timeout_s))
    create_markdown_artifact(_page(done), key=f"scheduled-{model}".replace("_", "-").lower())
    return done


def recorded(asked: ScheduledRun, train: Callable[[], _Trained]) -> ScheduledRun:
    """Train, and write the run's record however it ended.

    Args:
        asked: The record as far as it is known before.
        train: What returns the digests before and after, and the outcome.

    Raises:
        TowpathError: what stopped it.
    """
    begun, path = time.monotonic(), RUNS / f"{asked.flow_run_id}.json"
    try:
        used, left, outcome = train()
    except TowpathError as error:
        write_json(path, replace(asked, error=str(error), seconds=time.monotonic() - begun))
        raise
    done = replace(asked, used=used, left=left, outcome=outcome, seconds=time.monotonic() - begun)
    write_json(path, done)
    return done


@task(
    name="run in a clean checkout",
    task_run_name="{model} at {commit}",
    retries=len(_BACK_OFF_S),
    retry_delay_seconds=list(_BACK_OFF_S),
    retry_condition_fn=is_infrastructure,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def _train(request: RunRequest, model: str, commit: str, timeout_s: int) -> _Trained:
    deadline = time.monotonic() + timeout_s
    with open_checkout(model, commit, deadline=deadline) as checkout, _last_words(checkout):
        checkout.pull()
        used = checkout.digests()
        try:
            outcome = run_inside(checkout, request, max(0.0, deadline - time.monotonic()))
        except TowpathError:
            with contextlib.suppress(InfrastructureError, StageTimeoutError):  # people must hear what stopped the run
                checkout.keep_batches()
            raise
        checkout.push()
        checkout.keep()
        return used, checkout.digests(), outcome


@contextlib.contextmanager
def _last_words(checkout: Checkout) -> Iterator[None]:
    """Begin the model's log anew, and let its last line say what stopped the run."""
    log = _log(checkout)
    log.unlink(missing_ok=True)
    try:
        yield
    except TowpathError as error:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as output:
            output.write(f"towpath: {error}\n")
        raise


def _log(checkout: Checkout) -> Path:
    return checkout.root / LOGS / f"{checkout.model}.log"


def run_inside(checkout: Checkout, request: RunRequest, timeout_s: float) -> RunOutcome:
    """Run what is asked for in its checkout, in a process that does not outlive this one.

    Raises:
        TowpathError: what the run itself reported.
        StageTimeoutError: it ran too long and was killed.
        StageFailedError: it died without a report; the message names its log.
    """
    log = _log(checkout)
    log.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="towpath-scheduled-") as folder:
        asked, answer = Path(folder) / "request.json", Path(folder) / "answer.json"
        write_json(asked, request)
        command = [sys.executable, "-m", "components.stage.guard", sys.executable, "-m", "pipelines.schedules.inside"]
        with log.open("wb") as output, _process([*command, str(asked), str(answer)], checkout, output) as process:
            try:
                code = process.wait(timeout=timeout_s)
            except subprocess.TimeoutExpired:
                raise StageTimeoutError(
                    f"the run of {checkout.model} was stopped after {timeout_s:.0f} s; see {log}"
                ) from None
        if not answer.is_file():
            raise StageFailedError(f"the run of {checkout.model} ended with code {code} and no report; see {log}")
        said: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    if error := said.get("error"):
        raise error_from_json(error)
    return record.load(RunOutcome, said["outcome"])


@contextlib.contextmanager
def _process(command: list[str], checkout: Checkout, output: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command in a group of its own, which is ended with the block."""
    process = subprocess.Popen(
        command,
        cwd=checkout.folder,
        env=checkout.environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        process_group=0,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            kill_group(process.pid, grace_s=30.0, leader=process)
            process.wait()


def _stands(outcome: RunOutcome) -> str:
    if outcome.taken_back:
        return " (stays out: a person took it back)"
    return " (challenger)" if outcome.challenger else ""


def _page(done: ScheduledRun) -> str:
    """Return the record for Prefect's own page."""
    outcome = done.outcome
    assert outcome is not None
    rows = {
        "model": done.model,
        "commit": f"{done.commit} (`{done.ref}`)",
        "winner": outcome.winner or "nothing to do",
        "version": f"{outcome.version}{_stands(outcome)}",
        "MLflow run": outcome.mlflow_run_id or "-",
        **{f"{name} before": digest[:16] for name, digest in done.used.items()},
        **{f"{name} after": digest[:16] for name, digest in done.left.items()},
        "goes on from": done.resumes or "-",
        "why": done.cause.get("towpath.retraining.reason", "it was due"),
    }
    return "\n".join(["| what | value |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())])
