"""A look from beginning to end: read, judge, write, record. A flow's tasks and the command share its steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from components.errors import InfrastructureError
from components.monitoring.traffic import read_traffic
from components.types.monitoring import Moment, MonitoringReport, VersionTraffic
from pipelines.release.environments import EnvironmentConfig
from pipelines.watch import look
from pipelines.watch.look import Concluded, JudgedVersion, Watch
from pipelines.watch.publish import WrittenReport, record_report, write_report


@dataclass(frozen=True)
class Looked:
    """What one look came to, and where it is written down."""

    report: MonitoringReport
    written: WrittenReport
    run_id: str
    """MLflow's; empty where it could not be recorded."""
    problems: tuple[str, ...] = ()
    """What kept the report from being recorded everywhere."""


class Work:
    """One look, step by step; a plain object, so that Prefect does not look into it."""

    def __init__(self, watch: Watch) -> None:
        """Prepare to look."""
        self.watch = watch
        self.seen: tuple[VersionTraffic, ...] = ()
        """What each version answered in each role."""
        self._moments: tuple[Moment, ...] = ()
        self._judged: tuple[JudgedVersion, ...] = ()
        self._steps: dict[str, list[Concluded]] = {}

    def traffic(self) -> None:
        """Read volume, errors and latency, and find the versions whose rows are judged."""
        self.read()
        self.judge(look.judged_versions(self.watch, self.seen))

    def read(self) -> None:
        """Read volume, errors and latency."""
        self.seen, self._moments = read_traffic(self.watch.window)

    def judge(self, versions: tuple[JudgedVersion, ...]) -> None:
        """Say which versions' rows are judged."""
        self._judged = versions

    def drift(self) -> None:
        """Compare each version's rows with its training."""
        self._each("drift", look.drift)

    def quality(self) -> None:
        """Let the suite judge each version's rows."""
        self._each("quality", look.quality)

    def live(self) -> None:
        """Measure each version on the labels that came in."""
        self._each("live", look.live)

    def report(self) -> MonitoringReport:
        """Conclude from all steps."""
        steps = [each for found in self._steps.values() for each in found]
        return look.conclude(self.watch, self.seen, self._moments, steps)

    def write(self, report: MonitoringReport) -> WrittenReport:
        """Write the report's files."""
        return write_report(report, self.watch.env.root)

    def record(self, report: MonitoringReport, written: WrittenReport, flow_run_id: str = "") -> str:
        """Keep the report in MLflow."""
        return record_report(report, written, self.watch.env.root, flow_run_id)

    def _each(self, name: str, step: Callable[[Watch, JudgedVersion], Concluded]) -> None:
        self._steps[name] = [step(self.watch, judged) for judged in self._judged]


def monitor(env: EnvironmentConfig, model: str, since: datetime | None = None, window: str = "") -> Looked:
    """Look once at a model's traffic, and write down what was found.

    Args:
        env: Where it serves.
        model: The model.
        since: The first moment to look at; by default one window ago.
        window: How far back to look instead of as configured: ``30m``, ``1h``, ``7d``.

    Raises:
        UnknownNameError: there is no such model, or nothing of it is stable.
        BadInputError: the window, the labels or the suite cannot be used.
        DigestMismatchError: a file of the log or a stored product is damaged.
        InfrastructureError: the ledger or the log cannot be read; MLflow may be down, and that is only reported.
    """
    work = Work(look.begin(env, model, since, window))
    work.traffic()
    work.drift()
    work.quality()
    work.live()
    report = work.report()
    written = work.write(report)
    try:
        return Looked(report, written, work.record(report, written))
    except InfrastructureError as error:
        return Looked(report, written, "", (str(error),))
