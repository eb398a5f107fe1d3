"""What crosses the line between the pipeline and a trainer: files, numbers and names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from components.types.dataset import Task
from components.types.product import InputSpec

PREPARED_FILE = "prepared.json"
PREPROCESSING_FILE = "preprocessing.onnx"
METRICS_FILE = "metrics.jsonl"
RESULT_FILE = "result.json"

Scalar = str | int | float | bool
Parameter = Scalar | tuple[Scalar, ...]


@dataclass(frozen=True)
class PreparedSpec:
    """What `prepare` wrote (``out/<model>/prepared/``), as `PREPARED_FILE`.

    Beside it: ``<split>.parquet`` (id, label and raw columns) for each split; for train and validation
    ``<split>.features.npy``, float32 of shape (n_rows, n_features), and ``<split>.target.npy`` (int64 class index of
    shape (n_rows,), or float32 standardised target); `PREPROCESSING_FILE`, the graph from raw columns
    to ``features``; and how it makes them, as a `FeaturePlan`.
    """

    model: str
    task: Task
    inputs: tuple[InputSpec, ...]
    classes: tuple[str | int | bool, ...]
    class_weights: tuple[float, ...]
    """One weight per class, 1.0 each unless balanced weights were asked for; empty for regression."""
    target_mean: float
    """The network learns (target - target_mean) / target_scale; 0 and 1 for classification."""
    target_scale: float
    feature_names: tuple[str, ...]
    image_shape: tuple[int, int, int] | None
    """(height, width, channels) when the features are one image, flattened in that order."""
    rows: Mapping[str, int]
    """Rows per split."""
    dataset_digest: str
    id_column: str
    label_column: str

    @property
    def n_features(self) -> int:
        """The width of the feature matrix."""
        return len(self.feature_names)

    @property
    def n_outputs(self) -> int:
        """The width of a network's output: one per class, or 1."""
        return max(len(self.classes), 1)


@dataclass(frozen=True)
class TrainingTask:
    """All that a trainer is told; read from a task file in the trainer's own process."""

    model: str
    training: str
    kind: str
    architecture: str
    """Names ``components/models/<kind>/<architecture>.py``, whose ``build(task)`` makes the network."""
    spec: PreparedSpec
    prepared_dir: Path
    output_dir: Path
    """Where ``native/`` and `METRICS_FILE` go."""
    checkpoint_dir: Path
    """Keyed by the task's digest, outside DVC's outputs; survives a kill."""
    parameters: Mapping[str, Parameter | None]
    """Every key of the training's configuration but model, kind and architecture."""
    seed: int
    threads: int


@dataclass(frozen=True)
class TrainedModel:
    """What a trainer gives back; exactly one of `network` and `raw_product` is set."""

    network: Path | None
    """An ONNX graph from ``features`` (float32, (n_rows, n_features)) to one output named ``logits`` or
    ``probabilities`` (float32, (n_rows, n_classes)) or ``value`` (float32, (n_rows, 1))."""
    raw_product: Path | None
    """A product that already takes raw columns."""
    native: tuple[Path, ...]
    """The framework's own files, under ``output_dir/native``."""
    validation_output: Path
    """The framework's own output on the validation features, ``.npy``: in the network's terms, float32; for a raw
    product the final probabilities, or the predictions in the target's units, where float64 is allowed as well."""
    framework: str
    """For example ``keras 3.15.1 on tensorflow 2.21.0``."""
    epochs_run: int
    best_epoch: int
    resumed_from_epoch: int
    """0 when nothing was resumed."""
    runtime: str = "onnx"
    """The kind of `ModelRuntime` that serves a raw product."""


@dataclass(frozen=True)
class TrainingResult:
    """What the train stage wrote (`RESULT_FILE`), with nothing in it that differs from run to run."""

    model: str
    training: str
    kind: str
    architecture: str
    framework: str
    product_digest: str
    dataset_digest: str
    runtime: str
    """The kind of runtime that serves the product."""
    native_files: tuple[str, ...]
    """Relative to the stage's output folder."""
    parameters: Mapping[str, Parameter | None]
    parity: float
    """Largest absolute difference between the framework and the exported product on the validation split."""
    parity_bound: float
    product_bytes: int
    epochs_run: int
    best_epoch: int
