"""Evidence of a good model, to be spoilt, and what the gates say of it. Measures nothing and reads no file."""

from dataclasses import replace

from components.evaluation.gates.config import GatesSection
from components.evaluation.gates.evidence import (
    ChampionComparison,
    GateEvidence,
    Latency,
    NotAnalysed,
    Parity,
    Size,
)
from components.evaluation.gates.judge import judge
from components.types.dataset import Task
from components.types.evaluation import METRIC_DIRECTIONS, Evaluation, MetricValue, SplitResult
from components.types.tfx import AnalysisSlice, ModelAnalysis, ThresholdResult

CANDIDATE, BASE, CHAMPION, DATA = "c" * 64, "b" * 64, "d" * 64, "e" * 64


def split(task, values, slices=()):
    directions = METRIC_DIRECTIONS[task]
    return SplitResult(200, {n: MetricValue(v, v - 0.01, v + 0.01, directions[n]) for n, v in values.items()}, slices)


def evaluation(task=Task.BINARY, training="net", digest=CANDIDATE, slices=(), **values):
    values = values or ({"rmse": 50.0, "r2": 0.5} if task is Task.REGRESSION else {"auc": 0.95, "accuracy": 0.9})
    primary = "rmse" if task is Task.REGRESSION else "auc"
    both = split(task, values, slices)
    return Evaluation("small", training, task, primary, digest, DATA, both, both)


def comparison(task=Task.BINARY, improvement=0.0, low=-0.005, **changes):
    metric = "rmse" if task is Task.REGRESSION else "auc"
    candidate = 50.0 if task is Task.REGRESSION else 0.95
    champion = candidate + improvement if task is Task.REGRESSION else candidate - improvement
    made = ChampionComparison(
        candidate_digest=CANDIDATE,
        champion_digest=CHAMPION,
        dataset_digest=DATA,
        rows=200,
        metric=metric,
        direction=METRIC_DIRECTIONS[task][metric],
        candidate=candidate,
        champion=champion,
        improvement=improvement,
        low=low,
        high=max(improvement, low) + 0.01,
        confidence=0.9,
    )
    return replace(made, **changes)


def analysis():
    return ModelAnalysis(
        product_digest=CANDIDATE,
        dataset_digest=DATA,
        metrics=("auc", "log_loss"),
        slices=(AnalysisSlice("", "", 200, {"auc": 0.9}), AnalysisSlice("city", "b", 40, {"log_loss": 0.4})),
        thresholds=(
            ThresholdResult("auc", "", "", "at least", 0.8, 0.9, True),
            ThresholdResult("log_loss", "city", "b", "at most", 0.5, 0.4, True),
        ),
        blessed=True,
    )


def evidence(task=Task.BINARY, **changes):
    made = GateEvidence(
        product_digest=CANDIDATE,
        dataset_digest=DATA,
        candidate=evaluation(task),
        baseline=evaluation(task, "base", BASE),
        champion=comparison(task),
        slice_columns=(),
        parity=Parity(CANDIDATE, 1e-6, 1e-4),
        size=Size(CANDIDATE, 1000),
        latency=Latency(CANDIDATE, 0.1, 0.2, 1.0, 2.0, 256, 1),
        analysis=NotAnalysed("keras"),
    )
    return replace(made, **changes)


GATES = {
    Task.BINARY: GatesSection(absolute={"auc": 0.9}),
    Task.REGRESSION: GatesSection(absolute={"rmse": 60.0, "r2": 0.3}),
}


def verdict_of(gate, found, gates=GATES[Task.BINARY]):
    return {each.gate: each for each in judge(found, gates)}[gate]
