"""One look at a model's traffic in an environment: what is read, and what is concluded. Writes nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from components.errors import BadInputError, TowpathError, UnknownNameError
from components.monitoring.config import MonitoringSection, is_window, length_of
from components.monitoring.drift import drift_finding, feature_drift, no_reference, prediction_drift
from components.monitoring.findings import (
    error_findings,
    latency_findings,
    live_finding,
    quality_finding,
    volume_finding,
)
from components.monitoring.log_files import SHADOW, LogWindow
from components.monitoring.profile import ReferenceProfile
from components.monitoring.served import ServedVersion, count_served
from components.release.records import RecordedVersion
from components.serving.prediction_log.schema import METADATA_KEY, input_column
from components.types.monitoring import (
    ColumnDrift,
    Finding,
    FindingKind,
    LiveMetric,
    Moment,
    MonitoringReport,
    ServedQuality,
    Status,
    VersionTraffic,
    worst,
)
from components.types.product import Signature
from pipelines.config import ModelConfig, load_model
from pipelines.release.environments import EnvironmentConfig
from pipelines.release.requests import read_signature
from pipelines.watch.live import allowed_drop, label_files, live_metric
from pipelines.watch.quality import served_quality
from pipelines.watch.reference import reference_profile


@dataclass(frozen=True)
class Watch:
    """What is looked at."""

    env: EnvironmentConfig
    config: ModelConfig
    window: LogWindow
    stable: int
    is_served: bool = True
    """Whether a gateway serves there, or ever did."""

    @property
    def section(self) -> MonitoringSection:
        """The bounds."""
        return self.config.model.monitoring

    @property
    def name(self) -> str:
        """The model."""
        return self.window.model


@dataclass(frozen=True)
class JudgedVersion:
    """A version whose rows are judged, with all that is known of it."""

    recorded: RecordedVersion
    signature: Signature
    served: ServedVersion
    rows: int
    """Rows that it served to users in the window."""
    profile: ReferenceProfile | None
    why: str
    """Why there is no profile."""


@dataclass(frozen=True)
class Concluded:
    """What one step found."""

    findings: tuple[Finding, ...] = ()
    features: tuple[ColumnDrift, ...] = ()
    predictions: tuple[ColumnDrift, ...] = ()
    quality: tuple[ServedQuality, ...] = ()
    live: tuple[LiveMetric, ...] = ()


def begin(
    env: EnvironmentConfig,
    model: str,
    since: datetime | None = None,
    window: str = "",
    until: datetime | None = None,
) -> Watch:
    """Say what is looked at: by default the configured window up to now.

    Raises:
        BadInputError: the window ends before it begins.
        UnknownNameError: there is no such model, or nothing of it is stable in the environment.
        ConfigError: something in its file is wrong.
        InfrastructureError: the ledger cannot be reached.
    """
    config = load_model(model, env.root)
    if window and not is_window(window):
        raise BadInputError(f"the window is {window!r}, expected a length of time such as 30m, 1h or 7d")
    end = until or datetime.now(UTC)
    start = since or end - length_of(window or config.model.monitoring.window)
    if start >= end:
        raise BadInputError(
            f"the window begins at {start:%Y-%m-%d %H:%M} UTC, which is not before its end, {end:%H:%M}"
        )
    stable = env.ledger().slot(model, env.name).stable
    if stable is None:
        raise UnknownNameError(f"no version of {model} is stable in {env.name.value}, so there is nothing to watch yet")
    return Watch(env, config, LogWindow(env.log_dir, model, start, end), stable)


def judged_versions(watch: Watch, traffic: Sequence[VersionTraffic]) -> tuple[JudgedVersion, ...]:
    """Return the stable version, and every other one that answered users often enough to be judged.

    Raises:
        UnknownNameError: the ledger does not know the stable version.
        DigestMismatchError: stored bytes were changed.
        InfrastructureError: the ledger or the registry cannot be reached.
    """
    rows: dict[int, int] = {watch.stable: 0}
    for each in traffic:
        if each.role != SHADOW:
            rows[each.version] = rows.get(each.version, 0) + each.rows
    chosen = [number for number in sorted(rows) if number == watch.stable or rows[number] >= watch.section.min_rows]
    return tuple(_judged(watch, number, rows[number]) for number in chosen)


def drift(watch: Watch, judged: JudgedVersion) -> Concluded:
    """Compare what a version was asked and answered with its training.

    Raises:
        DigestMismatchError: a file of the log is damaged.
        InfrastructureError: the log cannot be read.
    """
    number, kinds = judged.recorded.version, (FindingKind.FEATURE_DRIFT, FindingKind.PREDICTION_DRIFT)
    if judged.profile is None or not judged.served.paths:
        why = judged.why or f"version {number} served no row in the window"
        return Concluded(tuple(no_reference(kind, number, why) for kind in kinds))
    counts = count_served(watch.window, judged.served, judged.profile)
    features = feature_drift(judged.profile, counts, number, watch.section)
    predictions = (prediction_drift(judged.profile, counts, number, watch.section),)
    findings = tuple(
        drift_finding(kind, found, number, watch.section)
        for kind, found in zip(kinds, (features, predictions), strict=True)
    )
    return Concluded(findings, features=features, predictions=predictions)


def quality(watch: Watch, judged: JudgedVersion) -> Concluded:
    """Let the suite of the training data judge what a version was asked.

    Raises:
        SuiteError: the suite cannot be used.
        DigestMismatchError: a file of the log is damaged.
        InfrastructureError: the log cannot be read.
    """
    found = ServedQuality(judged.recorded.version, 0, 0, 0, ())
    if judged.served.paths:
        found = served_quality(watch.window, judged.served, judged.rows, watch.section.quality_rows, watch.env.root)
    return Concluded((quality_finding(found, watch.section),), quality=(found,))


def live(watch: Watch, judged: JudgedVersion) -> Concluded:
    """Measure a version on the labels that came in; nothing is concluded where no labels are to be had.

    Raises:
        SourceError: labels cannot be read, or the model could not give them.
        DigestMismatchError: a file of the log is damaged.
        InfrastructureError: the log cannot be read.
    """
    files = label_files(watch.config, watch.env.log_dir, watch.env.root)
    window = replace(watch.window, since=watch.window.until - length_of(watch.section.label_window))
    paths = _own_files(window, judged.recorded)
    if not files or not paths:
        return Concluded()
    metrics = {} if judged.profile is None else judged.profile.metrics
    primary = watch.config.model.evaluation.primary_for(judged.signature.task)
    number = judged.recorded.version
    found = live_metric(window, number, paths, judged.signature, watch.config, metrics.get(primary), files)
    return Concluded((live_finding(found, allowed_drop(found, watch.section), watch.section),), live=(found,))


def conclude(
    watch: Watch, traffic: Sequence[VersionTraffic], moments: Sequence[Moment], steps: Sequence[Concluded]
) -> MonitoringReport:
    """Return the report: the traffic's own findings first, and the worst of all as its state."""
    since, until = (
        each.astimezone(UTC).isoformat(timespec="seconds") for each in (watch.window.since, watch.window.until)
    )
    findings = [
        volume_finding(traffic, watch.section, since, is_served=watch.is_served),
        *error_findings(traffic, watch.section),
        *latency_findings(traffic, watch.section),
        *(finding for step in steps for finding in step.findings),
    ]
    return MonitoringReport(
        model=watch.name,
        environment=watch.env.name.value,
        since=since,
        until=until,
        state=worst(each.status for each in findings),
        findings=tuple(sorted(findings, key=lambda each: -list(Status).index(each.status))),
        traffic=tuple(traffic),
        moments=tuple(moments),
        features=tuple(found for step in steps for found in step.features),
        predictions=tuple(found for step in steps for found in step.predictions),
        quality=tuple(found for step in steps for found in step.quality),
        live=tuple(found for step in steps for found in step.live),
    )


def _judged(watch: Watch, number: int, rows: int) -> JudgedVersion:
    recorded = watch.env.ledger().version(watch.name, number)
    signature = read_signature(watch.env.place(recorded.ref).directory)
    columns = {each.name: input_column(each.name) for each in signature.inputs}
    paths = _own_files(watch.window, recorded) if rows else ()
    served = ServedVersion(number, paths, signature.inputs, columns)
    profile, why = None, ""
    try:
        profile = reference_profile(watch.env, recorded)
    except TowpathError as error:
        why = str(error)
    return JudgedVersion(recorded, signature, served, rows, profile, why)


def _own_files(window: LogWindow, recorded: RecordedVersion) -> tuple[Path, ...]:
    """Return a version's files: a log may outlive its ledger, and then its numbers mean other products."""
    import pyarrow.parquet as pq

    return tuple(
        path
        for path in window.files().get(recorded.version, ())
        if json.loads((pq.read_metadata(path).metadata or {}).get(METADATA_KEY, b"{}")).get("digest") == recorded.digest
    )
