"""The files below infra/ as they are, and the metrics that Towpath really has: asked of its own code, not listed."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.core import CollectorRegistry, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from bench.products import sum_product
from components.monitoring.exposition import write_metrics as write_monitoring
from components.serving import exposition
from components.serving.board import Board
from components.serving.gateway import Gateway
from components.serving.measurements import Measurements
from components.serving.model_table import make_table
from components.serving.options import Limits
from components.serving.prediction_log import LogOptions, PredictionLog
from components.serving.rollout_metrics import rollout_families
from components.serving.served_model import load_served
from components.serving.traffic import Traffic
from components.types.judging import JudgeReport
from components.types.release import ModelRef, PlacedModel, TrafficSplit
from pipelines.batches.telling import write_metrics as write_batches
from pipelines.outcome import Intake
from pipelines.schedules.notices import Standing
from pipelines.schedules.notices import write_metrics as write_schedules
from tests.monitoring_reports import report as monitoring_report
from tests.release_views import canary_report, shadow_report

ROOT = Path(__file__).resolve().parents[3]
FROM_TARGETS = frozenset({"environment", "instance", "job"})
"""Labels that Prometheus adds to whatever it scrapes, as infra/prometheus/targets say."""
_NAME = re.compile(r"\b(towpath[_:][a-z0-9_:]+|up)\b(?:\{([^}]*)\})?")
_LABEL = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"')

Labels = Mapping[str, frozenset[str]]


@pytest.fixture
def root() -> Path:
    return ROOT


@pytest.fixture
def read(root: Path) -> Callable[[str], Any]:
    return lambda path: yaml.safe_load((root / path).read_text())


@pytest.fixture
def promtool() -> Callable[..., str]:
    """Runs promtool; fails with what it says."""
    path = shutil.which("promtool")
    if path is None:
        pytest.skip("promtool is not installed; on Debian it comes with the package prometheus")

    def run(*arguments: str | Path) -> str:
        done = subprocess.run([path, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> Labels:
    """Every metric's name, with the labels that it has."""
    folder = tmp_path_factory.mktemp("metrics")
    found: dict[str, frozenset[str]] = {"up": frozenset()}
    for text in _texts(folder):
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found[sample.name] = found.get(sample.name, frozenset()) | sample.labels.keys()
    for file in (ROOT / "infra/prometheus/rules").glob("*.yml"):
        for group in yaml.safe_load(file.read_text())["groups"]:
            for rule in group["rules"]:
                if "record" in rule:
                    found[rule["record"]] = frozenset({"environment", "model"})
    return found


@pytest.fixture
def unknown(metrics: Labels) -> Callable[[str], list[str]]:
    """Says which metrics and labels of an expression nobody exposes."""

    def find(expression: str) -> list[str]:
        missing = []
        used = _NAME.findall(expression)
        assert used, f"{expression} reads no metric"
        for name, selector in used:
            if name not in metrics:
                missing.append(name)
                continue
            labels = set(_LABEL.findall(selector))
            missing += [f"{name}{{{label}}}" for label in sorted(labels - metrics[name] - FROM_TARGETS)]
        return missing

    return find


class _Rollout(Collector):
    def __init__(self, report: JudgeReport) -> None:
        self.report = report

    def collect(self) -> Iterator[Metric]:
        return rollout_families({self.report.model: self.report})


def _texts(folder: Path) -> Iterator[str]:
    yield _of_a_gateway(folder)
    for report in (canary_report(), shadow_report()):
        registry = CollectorRegistry()
        registry.register(_Rollout(report))
        yield exposition.render(registry).decode()
    write_monitoring(monitoring_report(), folder / "monitoring.prom")
    yield (folder / "monitoring.prom").read_text()
    standing = Standing("training-churn", active=True, absent=False, last_start=1.0, last_failed=False)
    yield write_schedules([standing], {"absent": 0}, folder).read_text()
    yield write_batches(Intake("churn", 1, 400, (), (), (), (), (), (), 0), folder).read_text()


def _of_a_gateway(folder: Path) -> str:
    product = sum_product(folder / "product")
    stats = Measurements()
    stats.observe(200, 0.001, "3", "stable")
    placed = PlacedModel(ModelRef("sum", 3, product.digest), product.directory, product.runtime)
    served = load_served(placed, stats)
    log = PredictionLog(LogOptions(folder / "log"))
    try:
        gateway = Gateway(Limits(), board=Board(folder / "board", 0, 1), predictions=log)
        gateway.stats["sum"] = stats
        gateway.table = make_table(7, {"sum": Traffic(TrafficSplit("sum", 7, stable=3), {3: served})}, {})
        gateway.board.beat(gateway.revs, gateway.loaded, {})
        return exposition.render(exposition.make_registry(gateway)).decode()
    finally:
        log.close()
