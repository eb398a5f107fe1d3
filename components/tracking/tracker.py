"""Runs in MLflow: started, tagged, logged to and finished. Knows nothing of what a training does, or of Prefect.

A run of the pipeline is a parent, each of its trainings a child. The flow run's id and address are its tags; the
other way, `Tracker.run_url` is what a flow run may show.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from components.tracking.connection import Connection, connect
from components.tracking.stream import Follower, Listener, Point, read_stored

_BATCH = 1000
"""How many metrics MLflow takes in one request."""
_PARAMETERS_PER_BATCH = 100
_PARAMETER_CHARACTERS = 6000

FLOW_RUN_ID_TAG = "prefect.flow_run_id"
FLOW_RUN_URL_TAG = "prefect.flow_run_url"
CACHED_FROM_TAG = "cached_from"
PRODUCT_TAG = "towpath.product_digest"
_PARENT_TAG = "mlflow.parentRunId"


class RunStatus(StrEnum):
    """How a run ended."""

    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"


class Tracker:
    """The runs of one MLflow; may be used from several threads."""

    def __init__(self, tracking_uri: str, artifact_root: Path | None, *, connection: Connection | None = None) -> None:
        """Connect.

        Args:
            tracking_uri: A server (``http://…``), or a database (``sqlite:///<path>``) used in this process.
            artifact_root: Where the files of new experiments go; None leaves it to a server's own place. The local
                server and the database behind it need the same one, or each could not read what the other stored.
            connection: An existing connection to the same address.

        Raises:
            ConfigError: the address is of a kind that is not supported.
        """
        self.connection = connection or connect(tracking_uri)
        self._client = self.connection.client
        self._artifact_root = artifact_root

    def start_pipeline_run(
        self,
        model: str,
        *,
        flow_run_id: str = "",
        flow_run_url: str = "",
        tags: Mapping[str, str] | None = None,
        parameters: Mapping[str, object] | None = None,
    ) -> str:
        """Start the parent run of one run of the pipeline, and return its id.

        Args:
            model: Names the experiment.
            flow_run_id: The flow run it belongs to.
            flow_run_url: Where a person sees that flow run.
            tags: More tags.
            parameters: What it was run with.

        Raises:
            InfrastructureError: MLflow cannot be reached.
        """
        links = {FLOW_RUN_ID_TAG: flow_run_id, FLOW_RUN_URL_TAG: flow_run_url}
        named = {key: value for key, value in links.items() if value}
        return self._start(model, model, {"towpath.kind": "pipeline", **named, **(tags or {})}, parameters)

    def start_training_run(
        self,
        parent: str,
        model: str,
        training: str,
        *,
        cached_from: str = "",
        tags: Mapping[str, str] | None = None,
        parameters: Mapping[str, object] | None = None,
    ) -> str:
        """Start the run of one training below its parent, and return its id.

        Args:
            parent: The pipeline's run.
            model: Names the experiment.
            training: The training.
            cached_from: Of a training that was not run: the run that once did it, or what is known of it.
            tags: More tags.
            parameters: What it was trained with.

        Raises:
            InfrastructureError: MLflow cannot be reached.
        """
        own = {"towpath.kind": "training", "towpath.training": training, _PARENT_TAG: parent}
        cached = {CACHED_FROM_TAG: cached_from} if cached_from else {}
        return self._start(model, training, {**own, **cached, **(tags or {})}, parameters)

    def start_monitoring_run(self, model: str, environment: str, *, tags: Mapping[str, str] | None = None) -> str:
        """Start the run of one look at a model's traffic, and return its id.

        Args:
            model: Names the experiment.
            environment: Where the traffic is.
            tags: More tags.

        Raises:
            InfrastructureError: MLflow cannot be reached.
        """
        own = {"towpath.kind": "monitoring", "towpath.environment": environment}
        return self._start(model, f"monitoring-{environment}", {**own, **(tags or {})}, None)

    def find_training_run(self, model: str, training: str, product_digest: str) -> str | None:
        """Return the run in which a product was trained, the newest of those that finished, or None.

        Raises:
            InfrastructureError: MLflow cannot be reached.
        """
        wanted = {"tags.`towpath.training`": training, f"tags.`{PRODUCT_TAG}`": product_digest}
        query = " and ".join(f"{key} = '{value}'" for key, value in wanted.items())
        with self.connection.translated(f"looking for the run of {training}"):
            runs = self._client.search_runs([self._experiment(model)], f"{query} and status = 'FINISHED'")
        return next((run.info.run_id for run in runs if CACHED_FROM_TAG not in run.data.tags), None)

    def follow(self, progress: Path, run: str, listener: Listener | None = None, interval_s: float = 1.0) -> Follower:
        """Log a live progress file to a run until the follower is stopped (or its ``with`` block ends)."""
        return Follower(progress, lambda points: self.log_points(run, points), listener, interval_s)

    def replay(self, metrics: Path, run: str) -> int:
        """Log a stored stream of metrics to a run, and return how many points it has.

        Raises:
            InfrastructureError: MLflow cannot be reached.
        """
        points = read_stored(metrics, time.time())
        self.log_points(run, points)
        return len(points)

    def log_points(self, run: str, points: Sequence[Point]) -> None:
        """Log points in as few requests as MLflow allows; the same points again change nothing.

        Raises:
            InfrastructureError: MLflow cannot be reached.
        """
        from mlflow.entities import Metric

        with self.connection.translated("logging metrics"):
            for start in range(0, len(points), _BATCH):
                batch = points[start : start + _BATCH]
                self._client.log_batch(
                    run, metrics=[Metric(each.name, each.value, int(each.time_s * 1000), each.step) for each in batch]
                )

    def log_metrics(self, run: str, metrics: Mapping[str, float]) -> None:
        """Log final values in one request.

        Raises:
            InfrastructureError: MLflow cannot be reached.
        """
        now_s = time.time()
        self.log_points(run, [Point(name, 0, value, now_s) for name, value in metrics.items()])

    def log_parameters(self, run: str, parameters: Mapping[str, object]) -> None:
        """Log parameters; a value longer than MLflow takes is cut.

        Raises:
            InfrastructureError: MLflow cannot be reached.
        """
        from mlflow.entities import Param

        params = [Param(key, _as_text(value)[:_PARAMETER_CHARACTERS]) for key, value in parameters.items()]
        with self.connection.translated("logging parameters"):
            for start in range(0, len(params), _PARAMETERS_PER_BATCH):
                self._client.log_batch(run, params=params[start : start + _PARAMETERS_PER_BATCH])

    def read_metrics(self, run: str) -> dict[str, float]:
        """Return the last value of every metric of a run.

        Raises:
            InfrastructureError: MLflow cannot be reached.
        """
        with self.connection.translated("reading metrics"):
            return dict(self._client.get_run(run).data.metrics)

    def set_tags(self, run: str, tags: Mapping[str, str]) -> None:
        """Set tags in one request.

        Raises:
            InfrastructureError: MLflow cannot be reached.
        """
        from mlflow.entities import RunTag

        with self.connection.translated("setting tags"):
            self._client.log_batch(run, tags=[RunTag(key, value) for key, value in tags.items()])

    def log_artifact(self, run: str, path: Path, folder: str | None = None) -> None:
        """Store a file, or a folder with all that is in it, with a run.

        Raises:
            InfrastructureError: MLflow cannot be reached, or the file cannot be read.
        """
        log = self._client.log_artifacts if path.is_dir() else self._client.log_artifact
        with self.connection.translated(f"storing {path}"):
            log(run, str(path), folder)

    def finish(self, run: str, status: RunStatus = RunStatus.FINISHED) -> None:
        """End a run; a parent that did not finish takes its open trainings with it.

        Raises:
            InfrastructureError: MLflow cannot be reached.
        """
        with self.connection.translated("ending a run"):
            if status is not RunStatus.FINISHED:
                for child in self._open_children(run):
                    self._client.set_terminated(child, RunStatus.KILLED.value)
            self._client.set_terminated(run, status.value)

    def run_url(self, run: str) -> str | None:
        """Return where a person sees a run, or None without a server.

        Raises:
            InfrastructureError: MLflow cannot be reached.
        """
        if not self.connection.is_server:
            return None
        with self.connection.translated("looking up a run"):
            experiment = self._client.get_run(run).info.experiment_id
        return f"{self.connection.uri.rstrip('/')}/#/experiments/{experiment}/runs/{run}"

    def _start(self, model: str, name: str, tags: Mapping[str, str], parameters: Mapping[str, object] | None) -> str:
        with self.connection.translated(f"starting a run of {model}"):
            created = self._client.create_run(self._experiment(model), run_name=name, tags=dict(tags))
        run: str = created.info.run_id
        if parameters:
            self.log_parameters(run, parameters)
        return run

    def _experiment(self, model: str) -> str:
        """Return the experiment of a model, making it where it is missing; somebody else may make it meanwhile."""
        from mlflow.exceptions import MlflowException

        location = None if self._artifact_root is None else (self._artifact_root / model).resolve().as_uri()
        experiment = self._client.get_experiment_by_name(model)
        try:
            if experiment is None:
                return str(self._client.create_experiment(model, artifact_location=location))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            return self._experiment(model)
        if experiment.lifecycle_stage == "deleted":
            self._client.restore_experiment(experiment.experiment_id)
        return str(experiment.experiment_id)

    def _open_children(self, run: str) -> list[str]:
        experiment = self._client.get_run(run).info.experiment_id
        query = f"tags.`{_PARENT_TAG}` = '{run}' and status = 'RUNNING'"
        return [child.info.run_id for child in self._client.search_runs([experiment], query)]


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
