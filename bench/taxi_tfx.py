"""Kind `tfx` beside the same TFX pipeline by hand, and beside the other frameworks.

    python -m bench.taxi_tfx [--rounds 2] [--json]

A table of the taxi table's shape, 12 epochs of 41 steps. The stage and the script take turns in one environment; each
starts its own process, imports included. Peak memory is that of the largest process of a training.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import psutil

from bench.pipeline import ROOT, copy_project, table, timed, towpath
from components.training.core.environment import require_environment, worker_environment
from tests.tables import write_taxi_shaped

MODEL, ROWS, EPOCHS = "rides", 15_000, 12
KINDS = ("sklearn", "keras", "lightning", "tfx")
MOST_RATIO, MOST_IDLE_S = 1.15, 1.5
_LOOK_S = 0.05


def main() -> int:
    """Measure and print; the exit code says whether the limits hold."""
    parser = argparse.ArgumentParser(prog="python -m bench.taxi_tfx")
    parser.add_argument("--rounds", type=int, default=2, help="how often stage and script are measured")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="towpath-bench-") as folder:
        found = measure(Path(folder), arguments.rounds)
    print(json.dumps(found, indent=2) if arguments.json else table(found))
    return 0 if all(row["holds"] for row in found["figures"]) else 1


def measure(folder: Path, rounds: int) -> dict[str, Any]:
    """Return the figures, their limits, and the single times in seconds."""
    python = require_environment("tfx", lambda _: None)
    project = _project(folder / "project")
    try:
        towpath(project, "up")
        towpath(project, "run", MODEL)  # prepares, and warms every cache up
        idle = statistics.median(timed(lambda: towpath(project, "run", MODEL)) for _ in range(5))
    finally:
        towpath(project, "down")
    _write_csv(project, folder / "csv")
    times: dict[str, list[float]] = {"stage": [], "by hand": []}
    for _ in range(rounds):
        times["stage"].append(_train(project, "tfx")[0])
        times["by hand"].append(_by_hand(folder, python))
    peaks = {kind: _train(project, kind)[1] for kind in KINDS}
    stage, script = (statistics.median(each) for each in times.values())
    figures = [
        _most("the train stage of kind tfx / the same pipeline by hand", stage / script, MOST_RATIO),
        *(_shown(f"seconds of {each}, median", statistics.median(times[each])) for each in times),
        _most("a second run with nothing changed, s", idle, MOST_IDLE_S),
        *(_shown(f"peak memory of a training, {kind}, MB", mb) for kind, mb in peaks.items()),
    ]
    return {"figures": figures, "times_s": times}


def _project(folder: Path) -> Path:
    """Return a copy of the project with one more model."""
    project = copy_project(folder)
    (project / f"data/{MODEL}").mkdir()
    write_taxi_shaped(project / f"data/{MODEL}/taxi.csv", ROWS, seed=1)
    config = (
        (ROOT / f"tests/configs/{MODEL}.yaml").read_text().replace("epochs: 6", f"epochs: {EPOCHS}, patience: null")
    )
    (project / f"pipelines/configs/{MODEL}.yaml").write_text(config)
    pipeline = (project / "dvc.yaml").read_text()
    first = "  - pipelines/configs/breast_cancer.yaml\n"
    (project / "dvc.yaml").write_text(pipeline.replace(first, f"{first}  - pipelines/configs/{MODEL}.yaml\n"))
    towpath(project, "suite", "propose", MODEL)
    return project


def _write_csv(project: Path, folder: Path) -> None:
    """Write the very rows that the stage trains on, as the script wants them."""
    for split, name in (("train", "train"), ("validation", "eval")):
        rows = pl.read_parquet(project / f"out/{MODEL}/prepared/{split}.parquet")
        target = (pl.col("big_tip").cast(pl.String).str.to_lowercase().is_in(["true", "1"])).cast(pl.Int64)
        (folder / name).mkdir(parents=True)
        rows.with_columns(target.alias("target")).drop("big_tip", "row_id", strict=False).write_csv(
            folder / name / "rows.csv"
        )


def _train(project: Path, kind: str) -> tuple[float, float]:
    """Run one train stage by itself, and return its seconds and the peak of its largest process in MB."""
    command = [sys.executable, "-m", "components.training", MODEL, f"{MODEL}-{kind}"]
    return _watched(command, project, os.environ)


def _by_hand(folder: Path, python: Path) -> float:
    for name in ("root", "pushed"):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / "metadata.sqlite").unlink(missing_ok=True)
    environment = {**os.environ, **worker_environment("tfx"), "PYTHONPATH": str(ROOT / "bench")}
    return _watched([str(python), str(ROOT / "bench/plain_tfx.py"), str(folder), str(EPOCHS)], folder, environment)[0]


def _watched(command: Sequence[str], folder: Path, environment: Any) -> tuple[float, float]:
    peak = 0.0
    ended = threading.Event()
    begun = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=folder, env=dict(environment), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )

    def watch() -> None:
        nonlocal peak
        while not ended.wait(_LOOK_S):
            peak = max(peak, _largest_mb(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    _, said = process.communicate()
    seconds = time.perf_counter() - begun
    ended.set()
    watcher.join()
    if process.returncode:
        raise RuntimeError(f"{command} exited {process.returncode}: {said[-2000:]}")
    return seconds, peak


def _largest_mb(pid: int) -> float:
    try:
        family = psutil.Process(pid)
        return max(each.memory_info().rss for each in [family, *family.children(recursive=True)]) / 2**20
    except psutil.NoSuchProcess:
        return 0.0


def _most(figure: str, value: float, limit: float) -> dict[str, Any]:
    return {"figure": f"{figure}, at most", "value": round(value, 3), "limit": limit, "holds": value <= limit}


def _shown(figure: str, value: float) -> dict[str, Any]:
    return {"figure": figure, "value": round(value, 1), "limit": "-", "holds": True}


if __name__ == "__main__":
    raise SystemExit(main())
