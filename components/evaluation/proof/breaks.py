"""Break copies of a run, one function per break, and judge them as the pipeline would; leaks are validation's."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from components.errors import DigestMismatchError
from components.evaluation.gates.config import GatesSection
from components.evaluation.gates.evidence import GateEvidence
from components.evaluation.gates.judge import judge
from components.evaluation.gates.margins import improvement
from components.evaluation.gather import read_evaluation
from components.evaluation.proof.degrade import shuffle_weights
from components.evaluation.proof.outcome import Expectation, Proof, from_verdicts
from components.evaluation.proof.shift import DEVIATIONS, shift_prepared
from components.evaluation.record.config import EvaluationSection
from components.evaluation.record.predict import read_prepared
from components.evaluation.record.stage import PRODUCT_DIR, evaluate, measure, read_result
from components.evaluation.rescore import RescoreRequest, compare
from components.stage.files import write_json
from components.types.evaluation import EVALUATION_FILE, Direction, Evaluation, MetricValue, SliceResult
from components.types.product import ProductRef
from components.types.tfx import ModelAnalysis

_QUICK_RESAMPLES = 100
_SHUFFLES = 4


@dataclass(frozen=True)
class Bench:
    """A real run to break copies of."""

    out: Path
    """``out/<model>``; only read."""
    evidence: GateEvidence
    """Of the candidate, whole."""
    gates: GatesSection
    section: EvaluationSection
    work: Path
    """An empty folder for the copies."""

    @property
    def training(self) -> str:
        """The candidate's name."""
        return self.evidence.candidate.training

    @property
    def quick(self) -> EvaluationSection:
        """The evaluation's configuration with fewer resamples: proofs look at values."""
        return self.section.model_copy(update={"bootstrap": min(self.section.bootstrap, _QUICK_RESAMPLES)})

    def product(self, training: str | None = None) -> ProductRef:
        """Return a training's product."""
        trained = self.out / "trainings" / (training or self.training)
        result = read_result(trained)
        return ProductRef(trained / PRODUCT_DIR, result.product_digest, result.runtime)

    @cached_property
    def degraded(self) -> tuple[ProductRef, Evaluation]:
        """The candidate with shuffled weights: the worst, on validation, of a few; a small model may survive one."""
        spec = read_prepared(self.out / "prepared")
        found: list[tuple[float, ProductRef, Evaluation]] = []
        for seed in range(_SHUFFLES):
            worse = shuffle_weights(self.product(), self.work / f"worse-{seed}", seed)
            evaluation, _ = measure(worse, self.training, self.out / "prepared", spec, self.quick)
            primary = evaluation.validation.metrics.get(evaluation.primary)
            goodness = improvement(primary.value, 0.0, primary.direction) if primary else -math.inf
            found.append((goodness, worse, evaluation))
        _, worse, evaluation = min(found, key=lambda each: each[0])
        return worse, evaluation

    def judge(self, name: str, broken: str, evidence: GateEvidence, expected: Expectation) -> Proof:
        """Return what the gates say of broken evidence."""
        return from_verdicts(name, broken, judge(evidence, self.gates), expected)


def worse_model(bench: Bench) -> Proof:
    """Shuffle the candidate's weights, and evaluate what is left of it."""
    worse, evaluation = bench.degraded
    evidence = replace(_measured_as(bench.evidence, worse.digest), candidate=evaluation)
    return bench.judge(
        "worse model",
        "the weights were shuffled, and the product evaluated again",
        evidence,
        Expectation(("absolute", "baseline")),
    )


def shifted_data(bench: Bench) -> Proof:
    """Move half of all input values, and score candidate and baseline on them again."""
    prepared = bench.work / "shifted"
    spec = shift_prepared(bench.out / "prepared", prepared, seed=0)
    candidate, _ = measure(bench.product(), bench.training, prepared, spec, bench.quick)
    base = bench.evidence.baseline
    if base is not None:
        base, _ = measure(bench.product(base.training), base.training, prepared, spec, bench.quick)
    evidence = replace(bench.evidence, dataset_digest=spec.dataset_digest, candidate=candidate, baseline=base)
    return bench.judge(
        "shifted data",
        f"half of all input values were moved by {DEVIATIONS:g} standard deviations, and all models scored again",
        evidence,
        Expectation(("absolute",), "is asked for"),
    )


def missing_metric(bench: Bench) -> Proof:
    """Take a metric that a bound is on out of the evaluation's file."""
    metric = next(iter(bench.gates.absolute))
    test = bench.evidence.candidate.test
    left = {name: value for name, value in test.metrics.items() if name != metric}
    write_json(
        bench.work / "missing" / EVALUATION_FILE,
        replace(bench.evidence.candidate, test=replace(test, metrics=left)),
    )
    evidence = replace(bench.evidence, candidate=read_evaluation(bench.work / "missing"))
    return bench.judge(
        "missing metric",
        f"{metric} was taken out of {EVALUATION_FILE}",
        evidence,
        Expectation(("absolute",), f"metric {metric} is missing"),
    )


def reversed_direction(bench: Bench) -> Proof:
    """Record a metric that a bound is on as getting better the other way."""
    metric = next(iter(bench.gates.absolute))

    def turned(value: MetricValue) -> MetricValue:
        other = Direction.LOWER if value.direction is Direction.HIGHER else Direction.HIGHER
        return replace(value, direction=other)

    write_json(bench.work / "reversed" / EVALUATION_FILE, _with_metric(bench.evidence.candidate, metric, turned))
    evidence = replace(bench.evidence, candidate=read_evaluation(bench.work / "reversed"))
    return bench.judge(
        "reversed direction",
        f"{metric} was recorded in {EVALUATION_FILE} as getting better the other way",
        evidence,
        Expectation(("absolute",), f"metric {metric} of the test split was recorded as"),
    )


def champion_against_itself(bench: Bench) -> Proof:
    """Compare the candidate with itself as the champion."""
    confidence = bench.gates.champion.confidence if bench.gates.champion else 0.9
    request = RescoreRequest(
        candidate=bench.product(),
        champion=bench.product(),
        prepared=bench.out / "prepared",
        metric=bench.evidence.candidate.primary,
        resamples=_QUICK_RESAMPLES,
        seed=bench.section.seed,
        confidence=confidence,
    )
    return bench.judge(
        "champion against itself",
        "the candidate was compared with its own product as the champion",
        replace(bench.evidence, champion=compare(request)),
        Expectation(("champion",), "compared with itself"),
    )


def evidence_of_another_artifact(bench: Bench) -> Proof:
    """Present the candidate's evidence for another product."""
    worse, _ = bench.degraded
    return bench.judge(
        "evidence of another artifact",
        "the candidate's evidence was presented for a product with other weights",
        replace(bench.evidence, product_digest=worse.digest),
        Expectation(("evidence",), f"expected {worse.digest[:12]}"),
    )


def nan_metric(bench: Bench) -> Proof:
    """Make a metric that a bound is on NaN."""
    metric = next(iter(bench.gates.absolute))
    broken = _with_metric(bench.evidence.candidate, metric, lambda value: replace(value, value=math.nan))
    return bench.judge(
        "NaN metric",
        f"the value of {metric} was made NaN",
        replace(bench.evidence, candidate=broken),
        Expectation(("absolute",), f"metric {metric} of the test split is nan"),
    )


def empty_slice(bench: Bench) -> Proof:
    """Take the rows out of a slice."""
    candidate = bench.evidence.candidate
    inputs = read_prepared(bench.out / "prepared").inputs
    column = (bench.evidence.slice_columns or inputs[0].columns)[0]
    kept = tuple(each for each in candidate.test.slices if each.column != column)
    own = [each for each in candidate.test.slices if each.column == column] or [SliceResult(column, "any", 1, {})]
    emptied = (replace(own[0], rows=0, metrics={}), *own[1:])
    broken = replace(candidate, test=replace(candidate.test, slices=(*kept, *emptied)))
    columns = bench.evidence.slice_columns or (column,)
    return bench.judge(
        "empty slice",
        f"the rows of slice {column} = {own[0].value} were taken away",
        replace(bench.evidence, candidate=broken, slice_columns=columns),
        Expectation(("slices",), "is empty"),
    )


def swapped_artifact(bench: Bench) -> Proof:
    """Put another graph into a copy of the training's folder, and evaluate that."""
    worse, _ = bench.degraded
    trained = bench.work / "swapped"
    shutil.copytree(bench.out / "trainings" / bench.training, trained)
    shutil.copytree(worse.directory, trained / PRODUCT_DIR, dirs_exist_ok=True)
    name, broken = "swapped artifact", f"the graph in {PRODUCT_DIR} was replaced by one with other weights"
    try:
        evaluate(trained, bench.out / "prepared", bench.quick, bench.work / "swapped-evaluation")
    except DigestMismatchError as error:
        return Proof(name, broken, refused=True, gate="digest", reason=str(error).replace(f"{bench.work}/", ""))
    return Proof(name, broken, False, "", "the swapped graph was evaluated as if it were the promised one")


BREAKS: tuple[Callable[[Bench], Proof], ...] = (
    worse_model,
    shifted_data,
    missing_metric,
    reversed_direction,
    champion_against_itself,
    evidence_of_another_artifact,
    nan_metric,
    empty_slice,
    swapped_artifact,
)


def _measured_as(evidence: GateEvidence, digest: str) -> GateEvidence:
    """Return evidence whose measurements are of another product, so that only its quality can refuse it."""
    analysis = evidence.analysis
    return replace(
        evidence,
        product_digest=digest,
        parity=evidence.parity and replace(evidence.parity, product_digest=digest),
        size=evidence.size and replace(evidence.size, product_digest=digest),
        latency=evidence.latency and replace(evidence.latency, product_digest=digest),
        analysis=replace(analysis, product_digest=digest) if isinstance(analysis, ModelAnalysis) else analysis,
    )


def _with_metric(evaluation: Evaluation, metric: str, change: Callable[[MetricValue], MetricValue]) -> Evaluation:
    metrics = {**evaluation.test.metrics, metric: change(evaluation.test.metrics[metric])}
    return replace(evaluation, test=replace(evaluation.test, metrics=metrics))
