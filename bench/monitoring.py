"""One look at 10 million logged predictions of 30 features: seconds and peak memory, of a process of its own.

    python -m bench.monitoring [--rows 10000000] [--json]

The log has the gateway's own layout, column types and size of files, with ids as a client makes them; 24 numbers, 4
texts and 2 truths, of which two have drifted; 200,000 labels have come in. Measured is all of `towpath monitor` but
MLflow: traffic, drift of every feature and of the predictions, quality by a suite of 62 expectations, the live metric,
the page and the file for Prometheus. What is generated is deleted afterwards.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench.pipeline import ROOT, copy_project, table

LIMITS = {"seconds": 60.0, "peak_gb": 2.0}
MODEL = "watched"
FILE_ROWS = 100_000
"""As the gateway closes its files."""
LABELS = 200_000
BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
DIGEST = "5" * 64
NUMBERS = [f"number_{place:02d}" for place in range(24)]
TEXTS = [f"text_{place}" for place in range(4)]
TRUTHS = [f"truth_{place}" for place in range(2)]
CONFIG = f"""
models:
  {MODEL}:
    data: {{source: {{kind: files, path: data/{MODEL}/rows.parquet}}, label: label}}
    features: {{task: binary}}
    evaluation: {{primary: auc}}
    gates: {{absolute: {{auc: 0.5}}}}
    monitoring: {{labels: data/{MODEL}/labels.csv}}
trainings:
  {MODEL}-sklearn: {{model: {MODEL}, kind: sklearn, architecture: linear}}
"""


def main() -> int:
    """Measure and print; the exit code says whether the limits hold."""
    parser = argparse.ArgumentParser(prog="python -m bench.monitoring")
    parser.add_argument("--rows", type=int, default=10_000_000, help="how many predictions were logged")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--look", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.look:
        print(json.dumps(look(arguments.look)))
        return 0
    found = measure(arguments.rows)
    print(json.dumps(found, indent=2) if arguments.json else table(found))
    return 0 if all(row["holds"] for row in found["figures"]) else 1


def measure(rows: int) -> dict[str, Any]:
    """Return the figures, their limits, and what took how long."""
    with tempfile.TemporaryDirectory(prefix="towpath-monitoring-") as folder:
        project = copy_project(Path(folder) / "project")
        size_bytes = generate(project, rows)
        command = [sys.executable, "-m", "bench.monitoring", "--look", str(project)]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
    figures = [
        {"figure": name, "value": round(found[name], 3), "limit": limit, "holds": found[name] <= limit}
        for name, limit in LIMITS.items()
    ]
    return {"figures": figures, "rows": rows, "log_gb": size_bytes / 1024**3, **found}


def generate(project: Path, rows: int) -> int:
    """Write the training's files, the suite, the labels and the log; return the log's size in bytes."""
    import polars as pl

    (project / f"pipelines/configs/{MODEL}.yaml").write_text(CONFIG)
    (project / f"data/{MODEL}").mkdir(parents=True)
    prepared = project / "out" / MODEL / "prepared"
    prepared.mkdir(parents=True)
    train = frame(100_000, seed=1)
    train.with_row_index("id").write_parquet(prepared / "train.parquet")
    pl.DataFrame({"prediction": ["no"] * 50_000 + ["yes"] * 50_000}).write_parquet(prepared / "said.parquet")
    (project / f"data/{MODEL}/expectations.json").write_text(json.dumps(suite()))
    per_s = max(rows // (20 * 3_600), 1)  # over a day, as far as the rows go
    for place, start in enumerate(range(0, rows, FILE_ROWS)):
        write_file(project, place, start, min(FILE_ROWS, rows - start), per_s)
    ids = pl.DataFrame({"place": range(0, rows, max(rows // LABELS, 1))})
    labels = ids.select(
        id=request_ids(), label=pl.when(pl.col("place") % 3 == 0).then(pl.lit("yes")).otherwise(pl.lit("no"))
    )
    labels.write_csv(project / f"data/{MODEL}/labels.csv")
    return sum(path.stat().st_size for path in (project / ".towpath").rglob("*.parquet"))


def frame(rows: int, seed: int, moved: float = 0.0) -> Any:
    """Return rows as the version is asked; `moved` shifts one number and the mix of one text."""
    import numpy as np
    import polars as pl

    rng = np.random.default_rng(seed)
    numbers = {name: rng.normal(size=rows) + (moved if name == NUMBERS[0] else 0.0) for name in NUMBERS}
    texts = {name: np.char.add("value ", rng.zipf(1.6, rows).clip(1, 40).astype(str)) for name in TEXTS}
    texts[TEXTS[0]] = np.where(rng.random(rows) < moved / 2, "value 2", texts[TEXTS[0]])
    truths = {name: rng.random(rows) < 0.3 for name in TRUTHS}
    return pl.DataFrame(numbers | texts | truths)


def request_ids() -> Any:
    """Return ids as a client makes them: 32 hex digits that compress badly."""
    import polars as pl

    halves = [pl.col("place").hash(seed).cast(pl.String).str.zfill(20).str.slice(4) for seed in (1, 2)]
    return pl.concat_str(halves)


def write_file(project: Path, place: int, start: int, rows: int, per_s: int) -> None:
    """Write one file of the log, as the gateway's own process does."""
    import numpy as np
    import polars as pl
    import pyarrow.parquet as pq

    rng = np.random.default_rng([7, place])
    yes = rng.random(rows).astype(np.float32)
    begin_s = BEGIN.timestamp() + start / per_s
    times = ((begin_s + np.arange(rows) / per_s) * 1e6).astype(np.int64)
    log = frame(rows, seed=100 + place, moved=0.6).with_columns(
        pl.Series("prediction", np.where(yes > 0.5, "yes", "no")),
        pl.Series("probabilities", np.stack([1 - yes, yes], axis=1), dtype=pl.Array(pl.Float32, 2)),
        pl.Series("time", times).cast(pl.Datetime("us", "UTC")),
        pl.Series("place", np.arange(start, start + rows)),
        pl.lit(0, pl.Int32).alias("row"),
        pl.Series("user", rng.integers(0, 2**63, rows), dtype=pl.UInt64),
        pl.lit(1, pl.Int32).alias("version"),
        pl.lit(DIGEST).alias("digest"),
        pl.lit("stable").alias("role"),
        pl.lit(1, pl.Int64).alias("rev"),
        pl.Series("latency_ms", rng.gamma(2, 2, rows), dtype=pl.Float32),
        pl.Series("status", np.where(rng.random(rows) < 0.001, 500, 200), dtype=pl.Int16),
    )
    log = log.with_columns(request_ids().alias("request_id")).drop("place")
    began = datetime.fromtimestamp(begin_s, UTC)
    folder = project / ".towpath/gateway/log" / MODEL / f"date={began.date().isoformat()}"
    folder.mkdir(parents=True, exist_ok=True)
    about = json.dumps({"model": MODEL, "version": 1, "digest": DIGEST}).encode()
    content = log.to_arrow(compat_level=pl.CompatLevel.oldest()).replace_schema_metadata({b"towpath": about})
    name = f"{began:%Y%m%dT%H%M%S}.{began.microsecond:06d}Z-v1-w0-1-{place}.parquet"
    pq.write_table(content, folder / name, compression="zstd")


def suite() -> dict[str, Any]:
    """Return an expectation suite: two expectations for every column, and two for texts' values."""
    types = dict.fromkeys(NUMBERS, "float64") | dict.fromkeys(TEXTS, "string") | dict.fromkeys(TRUTHS, "bool")
    about: list[dict[str, Any]] = []
    for name, kind in types.items():
        about.append({"type": "expect_column_values_to_not_be_null", "kwargs": {"column": name}})
        if kind == "float64":
            bounds = {"column": name, "min_value": -8.0, "max_value": 8.0}
            about.append({"type": "expect_column_values_to_be_between", "kwargs": bounds})
        if kind == "string":
            about.append({"type": "expect_column_values_to_match_regex", "kwargs": {"column": name, "regex": "^value"}})
            lengths = {"column": name, "min_value": 7, "max_value": 8}
            about.append({"type": "expect_column_value_lengths_to_be_between", "kwargs": lengths})
    columns = {"id": "int64", **types, "label": "string"}
    return {"name": MODEL, "expectations": about, "meta": {"towpath": {"columns": columns}}}


def look(project: Path) -> dict[str, Any]:
    """Look once in this process, and return what took how long and this process's peak."""
    from components.monitoring.log_files import LogWindow
    from components.monitoring.profile import make_profile
    from components.monitoring.served import ServedVersion
    from components.release.records import RecordedVersion
    from components.types.dataset import ColumnType, Task
    from components.types.evaluation import Direction, Evaluation, MetricValue, SplitResult
    from components.types.product import InputSpec, Signature
    from components.types.training import PreparedSpec
    from pipelines.config import load_model
    from pipelines.release.environments import load_environment
    from pipelines.watch.look import JudgedVersion, Watch
    from pipelines.watch.run import Work

    kinds = {ColumnType.FLOAT64: NUMBERS, ColumnType.STRING: TEXTS, ColumnType.BOOL: TRUTHS}
    inputs = tuple(InputSpec(name, kind, (), False, (name,)) for kind, names in kinds.items() for name in names)
    classes = ("no", "yes")
    spec = PreparedSpec(
        MODEL,
        Task.BINARY,
        inputs,
        classes,
        (1.0, 1.0),
        0.0,
        1.0,
        ("f",),
        None,
        {"train": 100_000},
        "d" * 64,
        "id",
        "label",
    )
    test = SplitResult(100_000, {"auc": MetricValue(0.5, 0.49, 0.51, Direction.HIGHER)}, ())
    evaluation = Evaluation(MODEL, f"{MODEL}-sklearn", Task.BINARY, "auc", DIGEST, "d" * 64, test, test)
    prepared = project / "out" / MODEL / "prepared"
    profile = make_profile(prepared, spec, evaluation, prepared / "said.parquet")
    until = BEGIN + timedelta(days=5)
    begun = time.perf_counter()
    env = load_environment("local", project)
    watch = Watch(env, load_model(MODEL, project), LogWindow(env.log_dir, MODEL, BEGIN, until), stable=1)
    work = Work(watch)
    took: dict[str, float] = {}
    recorded = RecordedVersion(MODEL, 1, DIGEST, "d" * 64, "onnx", "bench")

    def timed(name: str, step: Any) -> Any:
        start = time.perf_counter()
        done = step()
        took[name] = round(time.perf_counter() - start, 2)
        return done

    timed("traffic_s", work.read)
    paths = watch.window.files()[1]
    served = ServedVersion(1, paths, inputs, {each.name: each.name for each in inputs})
    rows = sum(each.rows for each in work.seen)
    work.judge((JudgedVersion(recorded, Signature(Task.BINARY, inputs, classes), served, rows, profile, ""),))
    timed("drift_s", work.drift)
    timed("quality_s", work.quality)
    timed("live_s", work.live)
    report = timed("report_s", work.report)
    timed("write_s", lambda: work.write(report))
    seconds = time.perf_counter() - begun
    drifted = [each.column for each in report.features if each.status.value == "alarm"]
    assert drifted == [NUMBERS[0], TEXTS[0]], drifted
    assert len(report.features) == len(inputs)
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert peak is not None
    return {
        "seconds": seconds,
        "peak_gb": int(peak.group(1)) / 1024**2,
        "judged_rows": report.features[0].rows,
        "labels": report.live[0].labels,
        "state": report.state.value,
        **took,
    }


if __name__ == "__main__":
    raise SystemExit(main())
