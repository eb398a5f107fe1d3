"""Run and explain DVC stages, in process and one at a time. Knows nothing of Prefect, nor of what a stage does."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

import yaml

from components.errors import (
    ConfigError,
    InfrastructureError,
    StageCancelledError,
    StageFailedError,
    StageTimeoutError,
    TowpathError,
    error_from_json,
)
from components.stage.process import CALL_DIR_VARIABLE, CANCELLED_FILE, ERROR_FILE, LOG_FILE, PID_FILE, kill_group
from pipelines.state import CALLS, LOCKS
from pipelines.whole_outputs import forget_damaged_lists, require_whole_outputs

if TYPE_CHECKING:
    from dvc.repo import Repo


EXIT_CODE = re.compile(r"exited with (-?\d+)$")
"""How DVC's own error ends; it keeps the code nowhere else."""


class CacheVerdict(StrEnum):
    """Why a stage did or did not run."""

    UNCHANGED = "unchanged"
    RESTORED = "restored"
    """Its outputs came out of the run cache: the same inputs had been run before."""
    RAN = "ran"


@dataclass(frozen=True)
class StageRun:
    """What happened to one stage."""

    stage: str
    verdict: CacheVerdict
    seconds: float
    call_dir: Path
    """The call's folder: progress and log."""


Reasons = Mapping[str, tuple[str, ...]]
"""For every stage that is not up to date: what changed, a phrase each."""


def model_stages(model: str, trainings: Iterable[str]) -> list[str]:
    """Return a model's stages in topological order."""
    names = list(trainings)
    head = [f"{step}@{model}" for step in ("ingest", "validate", "prepare")]
    return [*head, *(f"train@{name}" for name in names), *(f"evaluate@{name}" for name in names)]


def changed_stages(stages: Iterable[str], root: Path = Path()) -> Reasons:
    """Return the stages that would run, and why; empty when everything is up to date.

    Raises:
        ConfigError: dvc.yaml cannot be read.
    """
    from dvc.exceptions import DvcException

    wanted = list(stages)
    with _repository(root) as repository:
        try:
            for stage in wanted:
                forget_damaged_lists(repository, stage)
            status = repository.status(targets=wanted)
        except DvcException as error:
            words = " ".join(str(error).split())
            raise ConfigError(
                f"DVC cannot read these stages: {words}; `towpath config check` says what dvc.yaml lacks"
            ) from error
    known = _locked_stages(root)
    return {
        stage: tuple(reasons) if stage in known else ("it has never been run",)
        for stage, changes in status.items()
        if (reasons := _reasons(changes))
    }


def following(changed: Reasons, stages: Iterable[str], model: str) -> Reasons:
    """Return `changed` and, for the stages that come after a changed one, what they follow from.

    Such a stage runs unless the one before it gives the very same bytes again.
    """
    found = dict(changed)
    for stage in stages:
        step, _, training = stage.partition("@")
        before = {
            "ingest": (),
            "validate": (f"ingest@{model}",),
            "prepare": (f"ingest@{model}", f"validate@{model}"),
            "train": (f"prepare@{model}",),
            "evaluate": (f"prepare@{model}", f"train@{training}"),
        }[step]
        if stage not in found and (cause := next((each for each in before if each in found), None)):
            found[stage] = (f"it follows {cause}",)
    return found


def push_outputs(stages: Iterable[str], root: Path = Path()) -> int:
    """Copy the outputs of stages and ``.dvc`` files to the default DVC remote, and return how many files were sent.

    Raises:
        InfrastructureError: the remote cannot be reached, or did not take everything.
    """
    from dvc.exceptions import DvcException

    with _repository(root) as repository:
        try:
            sent: int = repository.push(targets=list(stages))
        except (DvcException, OSError) as error:
            words = " ".join(str(error).split())
            raise InfrastructureError(f"DVC could not push the outputs to its remote: {words}") from error
    return sent


def track_folder(folder: Path, root: Path = Path()) -> None:
    """Let DVC keep a folder that is no stage's output, under the name of its ``.dvc`` file.

    Raises:
        InfrastructureError: it could not be kept.
    """
    from dvc.exceptions import DvcException

    with _repository(root) as repository:
        try:
            repository.add(str(folder))
        except (DvcException, OSError) as error:
            raise InfrastructureError(f"DVC could not keep {folder}: {' '.join(str(error).split())}") from error


class StageRunner:
    """Run stages, each in a process of its own that can be stopped as a group."""

    def __init__(self, root: Path = Path(), *, pull: bool = False) -> None:
        """Prepare to run the stages of the project at `root`; with `pull`, run-cache results come from the remote."""
        self._root = root
        self._pull = pull
        self._running: dict[str, Path] = {}
        self._lock = threading.Lock()
        self._cancelled = threading.Event()

    def run(
        self,
        stage: str,
        *,
        force: bool = False,
        timeout_s: float | None = None,
        started: Callable[[Path], None] | None = None,
    ) -> StageRun:
        """Bring one stage up to date; its dependencies must be so already.

        Args:
            stage: The stage's address, for example ``train@taxi-keras``.
            force: Run it also when nothing changed, and do not take the result from the run cache.
            timeout_s: Kill it after so many seconds.
            started: Told the call's folder before the stage starts, to follow its progress.

        Raises:
            TowpathError: what the stage itself reported.
            StageTimeoutError: it ran too long.
            StageCancelledError: `cancel` was called.
            StageFailedError: it died without a report.
        """
        call_dir = self._new_call(stage)
        if started:
            started(call_dir)
        begin = time.monotonic()
        with self._lock:
            self._running[stage] = call_dir
        timed_out = threading.Event()
        timer = self._timer(call_dir, timeout_s, timed_out)
        try:
            with _stage_lock(stage, self._root):
                if self._cancelled.is_set():
                    raise StageCancelledError(f"stage {stage} was not started: the run was stopped")
                ran = self._reproduce(stage, call_dir, force)
        except TowpathError as error:
            if timed_out.is_set():
                raise StageTimeoutError(
                    f"stage {stage} was stopped after {timeout_s:.0f} s; see {call_dir / LOG_FILE}"
                ) from error
            raise
        finally:
            timer.cancel()
            with self._lock:
                self._running.pop(stage, None)
        executed = (call_dir / PID_FILE).exists()
        verdict = CacheVerdict.RAN if executed else CacheVerdict.RESTORED if ran else CacheVerdict.UNCHANGED
        return StageRun(stage, verdict, time.monotonic() - begin, call_dir)

    def cancel(self, grace_s: float = 10.0) -> None:
        """Stop every running stage: SIGTERM to its group, SIGKILL after `grace_s`; nothing new is started."""
        self._cancelled.set()
        with self._lock:
            running = list(self._running.values())
        for call_dir in running:
            (call_dir / CANCELLED_FILE).touch()  # for a stage that has not come so far as to write its pid
        killers = [threading.Thread(target=_kill_call, args=(call_dir, grace_s)) for call_dir in running]
        for killer in killers:
            killer.start()
        for killer in killers:
            killer.join()
        deadline = time.monotonic() + grace_s
        while self._running and time.monotonic() < deadline:
            time.sleep(0.02)

    def _new_call(self, stage: str) -> Path:
        calls = (self._root / CALLS).resolve()
        calls.mkdir(parents=True, exist_ok=True)
        _delete_old_calls(calls)
        return Path(mkdtemp(prefix=f"{stage}.", dir=calls))

    def _timer(self, call_dir: Path, timeout_s: float | None, timed_out: threading.Event) -> threading.Timer:
        def stop() -> None:
            timed_out.set()
            (call_dir / CANCELLED_FILE).touch()
            _kill_call(call_dir, 10.0)

        timer = threading.Timer(timeout_s or threading.TIMEOUT_MAX, stop)
        timer.daemon = True
        if timeout_s:
            timer.start()
        return timer

    def _reproduce(self, stage: str, call_dir: Path, force: bool) -> bool:
        from dvc.exceptions import DvcException, ReproductionError

        environment = {CALL_DIR_VARIABLE: str(call_dir), "PYTHONUNBUFFERED": "1"}
        try:
            with _repository(self._root) as repository:
                forget_damaged_lists(repository, stage)
                done = repository.reproduce(stage, single_item=True, force=force, run_env=environment, pull=self._pull)
                if not (call_dir / PID_FILE).exists():  # what DVC kept, or brought back, is about to be built upon
                    require_whole_outputs(repository, stage)
        except ReproductionError as error:
            raise self._failure(stage, call_dir, error) from error
        except (DvcException, OSError) as error:
            raise InfrastructureError(f"DVC could not run stage {stage}: {' '.join(str(error).split())}") from error
        return bool(done)

    def _failure(self, stage: str, call_dir: Path, error: Exception) -> TowpathError:
        report = call_dir / ERROR_FILE
        if report.is_file():
            import json

            return error_from_json(json.loads(report.read_text()))
        if self._cancelled.is_set():
            return StageCancelledError(f"stage {stage} was stopped; run again to resume")
        ended = EXIT_CODE.search(str(error.__cause__ or error))
        if ended is None:
            words = " ".join(str(error.__cause__ or error).split())
            return StageFailedError(f"DVC could not run stage {stage}: {words}")
        code = int(ended.group(1))
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code} and no report"
        return StageFailedError(f"stage {stage} {how}; see {call_dir / LOG_FILE}, and run again to resume")


def _repository(root: Path) -> Repo:
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.CRITICAL)
    try:
        return Repo(str(root), _wait_for_lock=True)
    except DvcException as error:
        raise ConfigError(f"DVC cannot read this project: {' '.join(str(error).split())}") from error


def _locked_stages(root: Path) -> set[str]:
    path = root / "dvc.lock"
    if not path.is_file():
        return set()
    return set((yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("stages") or {})


def _reasons(changes: list[Any]) -> list[str]:
    phrases: list[str] = []
    for change in changes:
        if isinstance(change, str):
            if change != "always changed":
                phrases.append(change)
            continue
        for kind, entries in change.items():
            side = {"changed deps": "input", "changed outs": "output"}.get(kind, kind)
            for name, what in entries.items():
                phrases.extend(_phrase(side, name, what))
    return phrases


def _phrase(side: str, name: str, what: Any) -> list[str]:
    if isinstance(what, dict):
        return [f"parameter {key} {how}" for key, how in what.items()]
    return [f"{side} {name} {what}"]


def _stage_lock(stage: str, root: Path) -> Any:
    """Return a lock that two threads or processes cannot both hold for one stage; it ends with its process."""
    from filelock import FileLock

    folder = root / LOCKS
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f"{stage}.lock", thread_local=False)


def _kill_call(call_dir: Path, grace_s: float) -> None:
    try:
        group = int((call_dir / PID_FILE).read_text())
    except (OSError, ValueError):
        return
    kill_group(group, grace_s)


def _delete_old_calls(calls: Path, keep: int = 200) -> None:
    with contextlib.suppress(FileNotFoundError):  # another run deletes them too
        folders = sorted(calls.iterdir(), key=os.path.getmtime)
        for folder in folders[: max(0, len(folders) - keep)]:
            shutil.rmtree(folder, ignore_errors=True)
