"""Compare what a version was trained on with what it is asked, by TFDV in TFX's environment. Imports neither."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from components.errors import BadInputError, StageFailedError
from components.release.ledger import Ledger
from components.release.records import RecordedVersion
from components.reports.skew import SkewPage, render_skew
from components.stage.files import write_json, write_text
from components.training.core.environment import require_environment, worker_environment
from components.types import record
from components.types.tfx import TFX_KIND, SkewReport, SkewTask
from pipelines.release.environments import EnvironmentConfig
from pipelines.skew_rows import ID_COLUMN, read_spec, served_rows, training_rows
from pipelines.state import REPORTS, bare_environment

PROGRAM = "components.training.tfx.skew"


@dataclass(frozen=True)
class SkewRequest:
    """What is asked."""

    model: str
    version: int | None = None
    """None for the version that is stable in the environment."""
    since: datetime | None = None
    min_rows: int = 200
    """With fewer served rows a distance is chance."""
    l_infinity: float = 0.1
    jensen_shannon: float = 0.1


@dataclass(frozen=True)
class FoundSkew:
    """What was found, and where the page for people stands."""

    version: int
    report: SkewReport
    page: Path


def find_skew(env: EnvironmentConfig, request: SkewRequest, tell: Callable[[str], None]) -> FoundSkew:
    """Return how far served rows are from the rows that a version was trained on.

    Args:
        env: Where it serves.
        request: What is asked.
        tell: Takes sentences for whoever waits.

    Raises:
        BadInputError: there is no such version, or there are too few rows to say anything.
        MissingExtraError: TFX's environment cannot be had on this machine.
        StageFailedError: the comparison died.
        TowpathError: a file or server is not as expected.
    """
    recorded = _version(env.ledger(), env, request)
    prepared = env.root / "out" / request.model / "prepared"
    spec = read_spec(prepared, request.model)
    if spec.dataset_digest != recorded.dataset_digest:
        raise BadInputError(
            f"version {recorded.version} of {request.model} learned from data {recorded.dataset_digest[:12]}, and "
            f"{prepared} holds {spec.dataset_digest[:12]}; check out the commit of that version and run the model there"
        )
    serving = served_rows(env.log_dir, recorded.ref, spec, request.since)
    if serving.num_rows < request.min_rows:
        raise BadInputError(
            f"insufficient: {serving.num_rows} rows of version {recorded.version} of {request.model} were served and "
            f"logged in {env.name.value}, and {request.min_rows} are asked for; wait, look further back by --since, or "
            "ask for fewer by --min-rows"
        )
    python = require_environment(TFX_KIND, tell)
    tell(f"comparing {serving.num_rows} served rows with the training rows of {request.model} by TFDV ...")
    folder = env.root / REPORTS / request.model
    folder.mkdir(parents=True, exist_ok=True)
    report = _compare(python, request, training_rows(prepared, spec, serving), serving, folder / "skew.log")
    page = folder / f"skew-{env.name.value}.html"
    write_text(page, render_skew(SkewPage(request.model, env.name.value, recorded.version, recorded.digest, report)))
    return FoundSkew(recorded.version, report, page)


def _version(ledger: Ledger, env: EnvironmentConfig, request: SkewRequest) -> RecordedVersion:
    number = ledger.slot(request.model, env.name).stable if request.version is None else request.version
    if number is None:
        raise BadInputError(f"no version of {request.model} is stable in {env.name.value}; name one by --version")
    return ledger.version(request.model, number)


def _compare(python: Path, request: SkewRequest, training: object, serving: object, log: Path) -> SkewReport:
    import pyarrow.parquet as pq

    with TemporaryDirectory(prefix="towpath-skew-") as name:
        folder = Path(name)
        task = SkewTask(
            training=str(folder / "training.parquet"),
            serving=str(folder / "serving.parquet"),
            columns=tuple(each for each in serving.column_names if each != ID_COLUMN),  # type: ignore[attr-defined]
            id_column=ID_COLUMN,
            l_infinity=request.l_infinity,
            jensen_shannon=request.jensen_shannon,
            output=str(folder / "report.json"),
        )
        pq.write_table(training, task.training)
        pq.write_table(serving, task.serving)
        write_json(folder / "task.json", task)
        environment = {**bare_environment(), **worker_environment(TFX_KIND)}
        with log.open("wb") as said:
            command = [str(python), "-m", PROGRAM, str(folder / "task.json")]
            done = subprocess.run(command, env=environment, stdout=said, stderr=said, check=False)
        if done.returncode:
            raise StageFailedError(
                f"comparing the rows of {request.model} ended with code {done.returncode}; what TFDV said is in {log}"
            )
        return record.read(SkewReport, Path(task.output))
