"""A run of the pipeline as MLflow sees it: one parent, a child for each training, live metrics. Judges nothing."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from components.errors import TowpathError
from components.stage.process import PROGRESS_FILE
from components.types import record
from components.types.evaluation import EVALUATION_FILE, Evaluation
from components.types.training import METRICS_FILE, RESULT_FILE, TrainingResult
from pipelines.services.local import MLFLOW
from pipelines.services.process import find_service
from pipelines.stages import CacheVerdict, StageRun
from pipelines.state import ARTIFACTS, is_local_tracking, tracking_uri
from pipelines.tfx_record import has_tfx_records, record_tfx

if TYPE_CHECKING:
    from components.tracking.connection import Connection
    from components.tracking.tracker import Tracker


class Recording:
    """Records one run of the pipeline; used from the threads that run its stages."""

    def __init__(self, model: str, root: Path) -> None:
        """Prepare; MLflow is imported by `open`, which may run beside the first stages."""
        self._model = model
        self._root = root
        self._opened = threading.Event()
        self._failure: TowpathError | None = None
        self._tracker: Tracker | None = None
        self._run = ""
        self._children: dict[str, str] = {}

    def open(self, *, flow_run_id: str, flow_run_url: str, tags: dict[str, str], parameters: dict[str, object]) -> str:
        """Start the parent run, and return its id.

        Raises:
            InfrastructureError: MLflow cannot be reached.
        """
        self._failure = None
        try:
            self._tracker = open_tracker(self._root)
            self._run = self._tracker.start_pipeline_run(
                self._model, flow_run_id=flow_run_id, flow_run_url=flow_run_url, tags=tags, parameters=parameters
            )
        except TowpathError as error:
            self._failure = error
            raise
        finally:
            self._opened.set()
        return self._run

    @property
    def run_id(self) -> str:
        """The parent run; waits until it is started."""
        self.tracker()
        return self._run

    def tracker(self) -> Tracker:
        """Return the connection; waits until it is made.

        Raises:
            InfrastructureError: it could not be made.
        """
        self._opened.wait()
        if self._failure:
            raise self._failure
        if self._tracker is None:
            raise RuntimeError("the recording was not opened")
        return self._tracker

    def child(self, training: str) -> str:
        """Return the id of a training's run."""
        return self._children[training]

    @contextlib.contextmanager
    def training(self, training: str, parameters: dict[str, object]) -> Iterator[TrainingRecording]:
        """Record one training for the length of the block; a cached one replays its stored stream."""
        tracker = self.tracker()
        run = tracker.start_training_run(self._run, self._model, training, parameters=parameters)
        self._children[training] = run
        recording = TrainingRecording(tracker, self._model, training, run, self._root)
        from components.tracking.tracker import RunStatus

        try:
            yield recording
        except BaseException:
            recording.stop()
            tracker.finish(run, RunStatus.FAILED)
            raise

    def close(self, *, succeeded: bool) -> None:
        """End the parent run, and whatever is open below it."""
        if self._tracker is None or not self._run:
            return
        from components.tracking.tracker import RunStatus

        # an error of the run outranks one of the server
        with contextlib.nullcontext() if succeeded else contextlib.suppress(TowpathError):
            self._tracker.finish(self._run, RunStatus.FINISHED if succeeded else RunStatus.FAILED)


def open_tracker(root: Path) -> Tracker:
    """Connect to MLflow: the user's own, the running local server, or the database in the state folder.

    Raises:
        ConfigError: the address is of a kind that is not supported.
    """
    from components.tracking.tracker import Tracker

    service = find_service(MLFLOW, root)
    uri = tracking_uri(service.url if service else None)
    return Tracker(uri, (root / ARTIFACTS).resolve() if is_local_tracking() else None)


def open_connection(root: Path) -> Connection:
    """Return the connection of `open_tracker`, for the registry."""
    return open_tracker(root).connection


class TrainingRecording:
    """Records one training."""

    def __init__(self, tracker: Tracker, model: str, training: str, run: str, root: Path) -> None:
        """Keep what is needed to log."""
        self._tracker = tracker
        self._model = model
        self._training = training
        self._run = run
        self._root = root
        self._outputs = root / "out" / model
        self._follower: contextlib.AbstractContextManager[object] | None = None

    def follow(self, call_dir: Path) -> None:
        """Log the stage's live progress until `stop`."""
        self._follower = self._tracker.follow(call_dir / PROGRESS_FILE, self._run)

    def stop(self) -> None:
        """Stop following."""
        if self._follower:
            self._follower.__exit__(None, None, None)
            self._follower = None

    def finish(self, done: StageRun) -> None:
        """Log what the training came to, and end its run."""
        self.stop()
        folder = self._outputs / "trainings" / self._training
        result = record.read(TrainingResult, folder / RESULT_FILE)
        tags = {"towpath.product_digest": result.product_digest, "towpath.framework": result.framework}
        if done.verdict is not CacheVerdict.RAN:
            source = self._tracker.find_training_run(self._model, self._training, result.product_digest)
            tags["cached_from"] = source or f"stage cache ({done.verdict})"
            self._tracker.replay(folder / METRICS_FILE, self._run)
        self._tracker.set_tags(self._run, tags)
        self._tracker.log_metrics(self._run, {"parity": result.parity, "product_bytes": result.product_bytes})
        self._tracker.log_artifact(self._run, folder / RESULT_FILE)
        if has_tfx_records(result):
            record_tfx(self._tracker, self._run, folder, result, self._root)

    def evaluated(self) -> None:
        """Log the evaluation's metrics and plots, and end the training's run."""
        folder = self._outputs / "evaluations" / self._training
        evaluation = record.read(Evaluation, folder / EVALUATION_FILE)
        metrics = {
            f"{split}_{name}": value.value
            for split, result in (("validation", evaluation.validation), ("test", evaluation.test))
            for name, value in result.metrics.items()
        }
        self._tracker.log_metrics(self._run, metrics)
        self._tracker.log_artifact(self._run, folder / EVALUATION_FILE)
        self._tracker.log_artifact(self._run, folder / "plots", "plots")
        self._tracker.finish(self._run)
