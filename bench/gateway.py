"""How fast the gateway answers: beside a plain ASGI app without a check, and beside ``mlflow models serve``.

    python -m bench.gateway [--rounds 5] [--seconds 1] [--json]

One worker each, the same graph (30 numeric columns, one hidden layer, breast_cancer's shape), the same bodies; the
servers take turns within every round, and figures are medians of the rounds' ratios. Cold start is from exec to the
first answered prediction.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import psutil

from bench.load import requests_per_s
from bench.products import network_product
from components.stage.files import write_json
from components.types import record
from components.types.product import GRAPH_FILE, SIGNATURE_FILE, ProductRef, Signature
from components.types.release import ModelRef, ModelRoute, PlacedModel, RouterSnapshot, TrafficSplit

ROOT = Path(__file__).resolve().parents[1]
N_INPUTS = 30
INFER = "/v2/models/bench/infer"
INVOKE = "/invocations"


class Case(NamedTuple):
    """One way to ask."""

    path: str
    rows: int
    clients: int

    @property
    def name(self) -> str:
        """How a reader knows it."""
        form = "infer" if self.path == INFER else "invocations"
        return f"{form}, {self.rows} row{'s' * (self.rows > 1)}, {self.clients} clients"


CASES = [Case(path, *shape) for path in (INVOKE, INFER) for shape in ((1, 8), (1, 32), (256, 8))]
MLFLOW_CASES = [Case(INVOKE, 1, 8), Case(INVOKE, 256, 8)]
_QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
LEAST_OF_PLAIN, LEAST_OF_MLFLOW, COLD_START_S, RESIDENT_MB = 0.8, 6.0, 1.5, 150


def main() -> int:
    """Measure and print; the exit code says whether every limit holds."""
    parser = argparse.ArgumentParser(prog="python -m bench.gateway")
    parser.add_argument("--rounds", type=int, default=5, help="how often every case is measured")
    parser.add_argument("--seconds", type=float, default=1, help="how long each time")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="towpath-bench-") as folder:
        found = measure(Path(folder), arguments.rounds, arguments.seconds)
    print(json.dumps(found, indent=2) if arguments.json else _table(found))
    return 0 if all(row["holds"] for row in found["figures"]) else 1


def measure(folder: Path, rounds: int, seconds: float) -> dict[str, Any]:
    """Return the figures with their limits, and the single rates behind them."""
    product = network_product(folder / "product", N_INPUTS)
    commands = _commands(folder, product)
    cold = {
        name: [_cold_start_s(command) for _ in range(rounds if name != "mlflow" else 1)]
        for name, command in commands.items()
    }
    rates: dict[str, dict[str, list[float]]] = {}
    with _servers(commands) as (ports, resident_mb):
        for _ in range(rounds):
            for case in CASES:
                for name in ("plain", "towpath", "mlflow"):
                    if name != "mlflow" or case in MLFLOW_CASES:
                        rate = requests_per_s(ports[name], case.path, body(case), case.clients, seconds)
                        rates.setdefault(case.name, {}).setdefault(name, []).append(round(rate, 1))
    figures = [_ratio(case, rates, "plain", LEAST_OF_PLAIN) for case in CASES]
    figures += [_ratio(case, rates, "mlflow", LEAST_OF_MLFLOW) for case in MLFLOW_CASES]
    figures += [_most("cold start, s", statistics.median(cold["towpath"]), COLD_START_S)]
    figures += [_most("resident after load, MB", resident_mb["towpath"], RESIDENT_MB)]
    medians = {case: {name: statistics.median(found) for name, found in each.items()} for case, each in rates.items()}
    cold_s = {name: round(statistics.median(found), 3) for name, found in cold.items()}
    return {"figures": figures, "requests_per_s": medians, "cold_start_s": cold_s, "resident_mb": resident_mb}


def body(case: Case) -> bytes:
    """Return the request's body; the same in every run."""
    numbers = random.Random(0)
    columns = [f"feature_{index}" for index in range(N_INPUTS)]
    rows = [[round(numbers.gauss(0, 1), 4) for _ in columns] for _ in range(case.rows)]
    if case.path == INVOKE:
        return json.dumps({"dataframe_split": {"columns": columns, "data": rows}}).encode()
    tensors = [
        {"name": name, "shape": [case.rows], "datatype": "FP64", "data": [row[index] for row in rows]}
        for index, name in enumerate(columns)
    ]
    return json.dumps({"inputs": tensors}).encode()


def _commands(folder: Path, product: ProductRef) -> Mapping[str, list[str]]:
    snapshot = folder / "router.json"
    placed = PlacedModel(ModelRef("bench", 1, product.digest), product.directory, product.runtime)
    route = ModelRoute(TrafficSplit("bench", rev=1, stable=1), {"1": placed})
    write_json(snapshot, RouterSnapshot(1, {"bench": route}))
    python = [sys.executable, "-m"]
    mlflow = ["models", "serve", "-m", str(_mlflow_model(folder, product)), "--env-manager", "local"]
    return {
        "plain": [*python, "bench.plain_app", str(product.directory / GRAPH_FILE), "{port}"],
        "towpath": [*python, "components.serving", "--snapshot", str(snapshot), "--port", "{port}"],
        "mlflow": [*python, "mlflow", *mlflow, "-h", "127.0.0.1", "-p", "{port}"],
    }


def _mlflow_model(folder: Path, product: ProductRef) -> Path:
    """Write the product as it is registered: MLflow's pyfunc from code, with its signature."""
    os.environ.update(_QUIET)
    warnings.filterwarnings("ignore")  # MLflow warns of its own classes
    import mlflow.pyfunc

    from components.registry.package import to_mlflow

    target = folder / "mlflow"
    mlflow.pyfunc.save_model(
        path=str(target),
        python_model=str(ROOT / "components/registry/product_pyfunc.py"),
        artifacts={"product": str(product.directory)},
        model_config={"product_digest": product.digest},
        signature=to_mlflow(record.read(Signature, product.directory / SIGNATURE_FILE)),
        pip_requirements=["mlflow"],
    )
    return target


def _cold_start_s(command: list[str]) -> float:
    started = time.monotonic()
    with server(command) as (port, _):
        first_answer(port)
        return time.monotonic() - started


@contextmanager
def _servers(commands: Mapping[str, list[str]]) -> Iterator[tuple[dict[str, int], dict[str, float]]]:
    """Start all servers, ask each something, and give their ports and how much memory each has resident after that."""
    with (
        server(commands["plain"]) as first,
        server(commands["towpath"]) as second,
        server(commands["mlflow"]) as third,
    ):
        found = dict(zip(("plain", "towpath", "mlflow"), (first, second, third), strict=True))
        for port, _ in found.values():
            first_answer(port)
            requests_per_s(port, INVOKE, body(MLFLOW_CASES[1]), 8, 1)
        yield (
            {name: port for name, (port, _) in found.items()},
            {name: _resident_mb(pid) for name, (_, pid) in found.items()},
        )


@contextmanager
def server(command: list[str], log: int | IO[bytes] = subprocess.DEVNULL) -> Iterator[tuple[int, int]]:
    """Start a server, with a free port in place of ``{port}``; give its port and process, and stop it at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    filled = [part.format(port=port) if part == "{port}" else part for part in command]
    process = subprocess.Popen(filled, cwd=ROOT, env=_environment(), stdout=subprocess.DEVNULL, stderr=log)
    family = psutil.Process(process.pid)
    try:
        yield port, process.pid
    finally:
        for each in [*family.children(recursive=True), family]:
            each.terminate()
        process.wait(30)


def first_answer(port: int, patience_s: float = 120, question: bytes | None = None) -> None:
    """Wait until a server answers a prediction."""
    question = question or body(Case(INVOKE, 1, 1))
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request("POST", INVOKE, question, {"Content-Type": "application/json"})
            response = connection.getresponse()
            content = response.read()
        except OSError:
            time.sleep(0.005)
            continue
        finally:
            connection.close()
        if response.status != 200:
            raise RuntimeError(f"not answered: {content[:500]!r}")
        return
    raise RuntimeError(f"nothing listens on port {port} after {patience_s} s")


def _resident_mb(pid: int) -> float:
    family = psutil.Process(pid)
    return round(sum(each.memory_info().rss for each in [family, *family.children(recursive=True)]) / 2**20, 1)


def _environment() -> dict[str, str]:
    beside_python = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # where `mlflow` looks for uvicorn
    return {**os.environ, **_QUIET, "PYTHONPATH": str(ROOT), "PATH": beside_python}


def _ratio(case: Case, rates: dict[str, dict[str, list[float]]], other: str, least: float) -> dict[str, Any]:
    pairs = zip(rates[case.name]["towpath"], rates[case.name][other], strict=True)
    value = statistics.median(ours / theirs for ours, theirs in pairs)
    name = f"{case.name} / {'plain app' if other == 'plain' else 'mlflow'}, at least"
    return {"figure": name, "value": round(value, 3), "limit": least, "holds": value >= least}


def _most(name: str, value: float, limit: float) -> dict[str, Any]:
    return {"figure": f"{name}, at most", "value": round(value, 3), "limit": limit, "holds": value <= limit}


def _table(found: dict[str, Any]) -> str:
    width = max(len(row["figure"]) for row in found["figures"])
    lines = [
        f"{row['figure']:{width}} {row['value']:>9} {row['limit']:>7}  {'holds' if row['holds'] else 'MISSED'}"
        for row in found["figures"]
    ]
    lines += ["", "requests/s:"]
    for case, rates in found["requests_per_s"].items():
        lines.append(f"  {case:32} " + "  ".join(f"{name} {rate:,.0f}" for name, rate in rates.items()))
    lines += [f"cold start, s: {found['cold_start_s']}", f"resident, MB: {found['resident_mb']}"]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
