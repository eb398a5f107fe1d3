"""What `runner: ray` costs and gives: a cluster of two nodes on this machine against no cluster.

    python -m bench.scale_out [--json]

Both nodes share this machine's cores and disk, so nothing can become faster than the cores allow: what is measured is
the price. The small training is seconds of nothing but starting; the data that are sent are random, 256 MiB; predicted
are a million rows of 30 columns, Parquet to Parquet.
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
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from bench.pipeline import ROOT
from bench.products import network_product

SENT_BYTES = 256 * 1024 * 1024
ROWS, COLUMNS = 1_000_000, 30
REPEATS = 3
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": str(ROOT)}

JOIN = """
import time
from pathlib import Path
begun_s = time.perf_counter()
from components.cluster.capacity import Request
from components.cluster.node import Node
from components.cluster.session import joined
marks_s = [begun_s]
with joined() as session:
    marks_s.append(time.perf_counter())
    actor = session.start(Node, Request(1.0))
    session.require_same_environment(actor)
    marks_s.append(time.perf_counter())
    for _ in range(2):
        session.send_whole(actor, "bench", Path("sent"))
        marks_s.append(time.perf_counter())
for before_s, after_s in zip(marks_s, marks_s[1:]):
    print(after_s - before_s)
"""
PREDICT = """
import sys, time
from pathlib import Path
from components.cluster.capacity import Request
from components.serving.cluster_scoring import ClusterScoring
from components.serving.predict import predict_file
from components.types.product import ProductRef
product = ProductRef(Path("product"), sys.argv[1], "onnx")
source = Path("rows.parquet")
elsewhere = None if sys.argv[2] == "here" else ClusterScoring(product, source, Request(1.0), "runner")
begun_s, marks = time.perf_counter(), []
predict_file(product, source, Path(f"{sys.argv[2]}.parquet"), elsewhere=elsewhere,
             progress=lambda rows: marks.append((rows, time.perf_counter())))
print(time.perf_counter() - begun_s)
print((marks[-1][0] - marks[0][0]) / (marks[-1][1] - marks[0][1]))
"""


def measure(folder: Path) -> dict[str, Any]:
    """Return the figures, in seconds and per second."""
    cluster_dir = Path(tempfile.mkdtemp(prefix="towpath-ray-", dir="/tmp"))  # sockets' paths must be short
    begun_s = time.perf_counter()
    with (cluster_dir / "log").open("w") as log, subprocess.Popen(
        [sys.executable, str(ROOT / "tests/integration/ray/two_nodes.py"), str(cluster_dir)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, **LOOPBACK},
    ) as cluster:  # fmt: skip
        assert cluster.stdin is not None
        assert cluster.stdout is not None
        try:
            address = json.loads(cluster.stdout.readline())["address"]
            found = {"cluster_start_s": time.perf_counter() - begun_s}
            environment = {**os.environ, **LOOPBACK, "RAY_ADDRESS": address}
            return (
                found
                | _joining(folder, environment)
                | _training(folder, environment)
                | _predicting(folder, environment)
            )
        finally:
            cluster.stdin.close()
            cluster.wait(30)
            shutil.rmtree(cluster_dir, ignore_errors=True)


def _joining(folder: Path, environment: dict[str, str]) -> dict[str, float]:
    (folder / "sent").mkdir()
    np.save(folder / "sent/train.features.npy", np.random.default_rng(1).integers(0, 255, SENT_BYTES, np.uint8))
    join_s, start_s, sent_s, again_s = _numbers(folder, environment, JOIN)
    return {
        "join_s": join_s,
        "process_on_node_s": start_s,
        "send_mib_per_s": SENT_BYTES / 2**20 / sent_s,
        "send_again_s": again_s,
    }


def _training(folder: Path, environment: dict[str, str]) -> dict[str, float]:
    """Return the seconds of the smallest training, here and there."""
    project = folder / "project"
    for name in ("components", "infra/locks", "data/breast_cancer", "pipelines/configs"):
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    path = project / "pipelines/configs/breast_cancer.yaml"
    content = yaml.safe_load(path.read_text())
    content["trainings"] = {"t": {"model": "breast_cancer", "kind": "sklearn", "architecture": "linear"}}
    path.write_text(yaml.safe_dump(content))
    bare = {**environment, "PYTHONPATH": ""}
    for step in ("data", "validation", "features"):
        subprocess.run([sys.executable, "-m", f"components.{step}", "breast_cancer"], cwd=project, env=bare, check=True)
    seconds: dict[str, list[float]] = {"local": [], "ray": []}
    for _ in range(REPEATS):
        for place, taken in seconds.items():
            begun_s = time.perf_counter()
            command = [sys.executable, "-m", "components.training", "breast_cancer", "t"]
            subprocess.run(command, cwd=project, env={**bare, "TOWPATH_RUNNER": place}, check=True, capture_output=True)
            taken.append(time.perf_counter() - begun_s)
    here_s, there_s = (statistics.median(taken) for taken in seconds.values())
    return {"training_here_s": here_s, "training_there_s": there_s, "training_price_s": there_s - here_s}


def _predicting(folder: Path, environment: dict[str, str]) -> dict[str, float]:
    product = network_product(folder / "product", n_inputs=COLUMNS)
    values = np.random.default_rng(2).normal(size=(COLUMNS, ROWS))
    columns = {f"feature_{place}": values[place] for place in range(COLUMNS)}
    pq.write_table(pa.table({"id": np.arange(ROWS), **columns}), folder / "rows.parquet")
    here_s, here_rows = _numbers(folder, environment, PREDICT, product.digest, "here")
    there_s, there_rows = _numbers(folder, environment, PREDICT, product.digest, "there")
    assert (folder / "here.parquet").read_bytes() == (folder / "there.parquet").read_bytes()
    return {
        "prediction_here_s": here_s,
        "prediction_there_s": there_s,
        "prediction_here_rows_per_s": here_rows,
        "prediction_there_rows_per_s": there_rows,
    }


def _numbers(folder: Path, environment: dict[str, str], program: str, *arguments: str) -> list[float]:
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return [float(line) for line in done.stdout.splitlines()]


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", action="store_true", help="print JSON")
    as_json = parser.parse_args().json
    with tempfile.TemporaryDirectory(prefix="towpath-bench-") as name:
        found = measure(Path(name))
    print(
        json.dumps(found, indent=2) if as_json else "\n".join(f"{key:32} {value:,.2f}" for key, value in found.items())
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
