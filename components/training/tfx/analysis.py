"""The Evaluator of a training, and what it found: metrics by slice, thresholds, its verdict. Knows no champion.

TFMA evaluates the very files that will be served, by the signature that serves (`analysis_extractors`).
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import config_pb2  # 1.21 exports only some of them by itself

from components.errors import TrainingError
from components.stage.files import tree_digest
from components.training.core.prepared_data import train_split
from components.training.tfx.analysis_extractors import PREPARED_VARIABLE
from components.training.tfx.thresholds import METRICS, Threshold, read_slices, read_thresholds
from components.types.dataset import Task
from components.types.tfx import RATE_METRICS, AnalysisSlice, ModelAnalysis, ThresholdResult
from components.types.training import Parameter, TrainingTask

SLICES, THRESHOLDS = "slices", "thresholds"
"""Keys of a training's configuration."""
_BLESSED_FILE = "BLESSED"
_ROWS = "example_count"
_CLASSES: Mapping[str, tuple[str, str]] = {
    "auc": ("AUC", '"num_thresholds": 10000'),
    "accuracy": ("BinaryAccuracy", ""),
    "log_loss": ("BinaryCrossEntropy", ""),
    "mse": ("MeanSquaredError", ""),
    "mae": ("MeanAbsoluteError", ""),
}
_MULTICLASS_CLASSES = {
    "accuracy": ("SparseCategoricalAccuracy", ""),
    "log_loss": ("SparseCategoricalCrossentropy", ""),
}


def make_evaluator(task: TrainingTask, examples: Any, model: Any) -> Any:
    """Return the Evaluator of a training's pipeline, to be run in this process.

    Args:
        task: The training.
        examples: The channel of raw examples, with a split ``eval``.
        model: The channel of the trained model, whose serving folder is the product's SavedModel.

    Raises:
        ConfigError: a slice or a threshold cannot be used.
    """
    from tfx.components import Evaluator

    os.environ[PREPARED_VARIABLE] = str(task.prepared_dir.resolve())
    return Evaluator(
        examples=examples,
        model=model,
        example_splits=["eval"],
        eval_config=eval_config(task),
        module_path="components.training.tfx.analysis_extractors",
    )


def eval_config(task: TrainingTask) -> Any:
    """Return what TFMA is asked: the metrics of the task, the slices and the thresholds of the configuration.

    Raises:
        ConfigError: a slice or a threshold cannot be used.
    """
    thresholds, slices = asked(task, f"trainings.{task.training}.{THRESHOLDS}")
    return config_pb2.EvalConfig(
        model_specs=[config_pb2.ModelSpec(label_key=task.spec.label_column, model_type=tfma.TF_GENERIC)],
        metrics_specs=[config_pb2.MetricsSpec(metrics=[_count(), *_metrics(task.spec.task, thresholds)])],
        slicing_specs=[config_pb2.SlicingSpec(), *(config_pb2.SlicingSpec(feature_keys=[each]) for each in slices)],
        options={"include_default_metrics": {"value": False}},
    )


def asked(task: TrainingTask, where: str) -> tuple[tuple[Threshold, ...], tuple[str, ...]]:
    """Return the thresholds and the columns of the slices.

    Raises:
        ConfigError: one of them cannot be used.
    """
    lines, columns = (_texts(task.parameters.get(key)) for key in (THRESHOLDS, SLICES))
    thresholds = read_thresholds(lines, task.spec, where, lambda: largest_share(task))
    return thresholds, read_slices(columns, thresholds, task.spec)


def largest_share(task: TrainingTask) -> float:
    """Return the share of the most frequent class in the train split."""
    target = train_split(task).target
    return float(np.bincount(target).max() / len(target))


def read_analysis(evaluation: Path, blessing: Path, task: TrainingTask, product: Path) -> ModelAnalysis:
    """Return what the Evaluator found.

    Args:
        evaluation: The folder of the Evaluator's artifact ``evaluation``.
        blessing: The folder of its artifact ``blessing``.
        task: The training.
        product: The product's folder, whose SavedModel must be what was evaluated.

    Raises:
        TrainingError: something else was evaluated, or nothing.
    """
    result = tfma.load_eval_result(str(evaluation))
    savedmodel = product / "savedmodel"
    if tree_digest(Path(result.model_location)) != tree_digest(savedmodel):
        raise TrainingError(f"the Evaluator looked at {result.model_location}, which is not {savedmodel}; train again")
    thresholds, _ = asked(task, THRESHOLDS)
    slices = _read_slices(result.slicing_metrics, METRICS[task.spec.task])
    if not slices or slices[0].rows == 0:
        raise TrainingError("the Evaluator saw no row; look at the component's log, and train again")
    return ModelAnalysis(
        product_digest=tree_digest(product),
        dataset_digest=task.spec.dataset_digest,
        metrics=METRICS[task.spec.task],
        slices=slices,
        thresholds=tuple(_results(thresholds, slices)),
        blessed=(blessing / _BLESSED_FILE).is_file(),
    )


def _count() -> Any:
    return config_pb2.MetricConfig(class_name="ExampleCount", config=f'{{"name": "{_ROWS}"}}')


def _metrics(task: Task, thresholds: Iterable[Threshold]) -> list[Any]:
    classes = {**_CLASSES, **(_MULTICLASS_CLASSES if task is Task.MULTICLASS else {})}
    found = []
    for name in METRICS[task]:
        class_name, settings = classes[name]
        config = config_pb2.MetricConfig(
            class_name=class_name, config=f'{{"name": "{name}"{", " if settings else ""}{settings}}}'
        )
        for each in thresholds:
            if each.metric == name:
                _add(config, each)
        found.append(config)
    return found


def _add(config: Any, threshold: Threshold) -> None:
    bound = {"value": threshold.bound}
    limits = {"lower_bound": bound} if threshold.is_lower else {"upper_bound": bound}
    value = config_pb2.MetricThreshold(value_threshold=config_pb2.GenericValueThreshold(**limits))
    # not `config.threshold`: that would bind every slice, also one of a single row
    cut = config_pb2.SlicingSpec(feature_keys=[threshold.column] if threshold.column else [])
    config.per_slice_thresholds.append(config_pb2.PerSliceMetricThreshold(slicing_specs=[cut], threshold=value))


def _read_slices(found: Iterable[Any], metrics: tuple[str, ...]) -> tuple[AnalysisSlice, ...]:
    """Return all rows together, then the slices by column and value."""
    slices = []
    for key, outputs in found:
        values = {name: _number(value) for name, value in outputs[""][""].items()}
        column, value = key[0] if key else ("", "")
        rows = int(values.get(_ROWS) or 0)
        slices.append(AnalysisSlice(column, str(value), rows, {name: values.get(name) for name in metrics}))
    return tuple(sorted(slices, key=lambda each: (each.column != "", each.column, each.value)))


def _number(value: Mapping[str, Any]) -> float | None:
    number = float(value.get("doubleValue", math.nan))
    return number if math.isfinite(number) else None


def _results(thresholds: Iterable[Threshold], slices: Iterable[AnalysisSlice]) -> Iterable[ThresholdResult]:
    """Give what each threshold came to on each slice that it is about."""
    rows = list(slices)
    for each in thresholds:
        for cut in rows:
            if cut.column != each.column:
                continue
            found = cut.metrics.get(each.metric)
            holds = found is not None and (found >= each.bound if each.is_lower else found <= each.bound)
            kind = "at least" if each.metric in RATE_METRICS else "at most"
            yield ThresholdResult(each.metric, cut.column, cut.value, kind, each.bound, found, holds)


def _texts(value: Parameter | None) -> tuple[str, ...]:
    if value is None:
        return ()
    return tuple(str(each) for each in value) if isinstance(value, tuple) else (str(value),)
