"""Ingest, validate and prepare a wide table at 1M and 10M rows: peak memory, and whether time grows with the rows.

    python -m bench.scale [--rows 1000000 10000000] [--json]

Each stage is a process of its own; its peak is the operating system's own figure for it and its children.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.pipeline import ROOT, copy_project, table

LIMITS = {"peak_gb": 4.0, "time_ratio": 11.0}
STAGES = {"ingest": "components.data", "validate": "components.validation", "prepare": "components.features"}
GENERATE = """
import sys
from pathlib import Path
from tests.tables import write_wide
write_wide(Path(sys.argv[1]), int(sys.argv[2]), seed=1)
"""
PROBE = """
from components.data.probe import write_probe
from pipelines.config import load_model
write_probe("wide", load_model("wide").model.data)
"""
CONFIG = """
models:
  wide:
    data: {source: {kind: files, path: data/wide/wide.parquet}, label: label}
    features: {task: binary}
    evaluation: {primary: auc}
    gates: {absolute: {auc: 0.5}}
trainings:
  wide-sklearn: {model: wide, kind: sklearn, architecture: linear}
"""


def main() -> int:
    """Measure and print; the exit code says whether the limits hold."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale")
    parser.add_argument("--rows", type=int, nargs=2, default=[1_000_000, 10_000_000], help="a small and a large table")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    found = measure(*arguments.rows)
    print(json.dumps(found, indent=2) if arguments.json else table(found))
    return 0 if all(row["holds"] for row in found["figures"]) else 1


def measure(small_rows: int, large_rows: int) -> dict[str, Any]:
    """Return the figures, their limits, and seconds and peak of every stage at both sizes."""
    with tempfile.TemporaryDirectory(prefix="towpath-scale-") as folder:
        project = copy_project(Path(folder) / "project")
        (project / "pipelines/configs/wide.yaml").write_text(CONFIG)
        small, large = (_stages(project, rows) for rows in (small_rows, large_rows))
    values = {
        "peak_gb": max(stage["peak_gb"] for stage in large.values()),
        "time_ratio": sum(s["seconds"] for s in large.values()) / sum(s["seconds"] for s in small.values()),
    }
    figures = [
        {"figure": name, "value": round(value, 3), "limit": LIMITS[name], "holds": value <= LIMITS[name]}
        for name, value in values.items()
    ]
    return {"figures": figures, str(small_rows): small, str(large_rows): large}


def _stages(project: Path, rows: int) -> dict[str, dict[str, float]]:
    data = project / "data/wide"
    data.mkdir(exist_ok=True)
    (data / "expectations.json").unlink(missing_ok=True)
    subprocess.run([sys.executable, "-c", GENERATE, str(data / "wide.parquet"), str(rows)], cwd=ROOT, check=True)
    subprocess.run([sys.executable, "-c", PROBE], cwd=project, check=True)
    found = {}
    for stage, module in STAGES.items():
        if stage == "validate":
            propose = "from components.validation.propose import propose_suite; propose_suite('wide')"
            subprocess.run([sys.executable, "-c", propose], cwd=project, check=True)
        found[stage] = _measured([sys.executable, "-m", module, "wide"], project)
    return found


def _measured(command: list[str], project: Path) -> dict[str, float]:
    begun = time.perf_counter()
    process = subprocess.Popen(command, cwd=project, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} exited {process.returncode}")
    return {"seconds": time.perf_counter() - begun, "peak_gb": usage.ru_maxrss / 1024**2}


if __name__ == "__main__":
    raise SystemExit(main())
