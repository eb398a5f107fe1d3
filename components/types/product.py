"""What a product is: the graph from raw columns to the prediction, and its signature."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from components.types.dataset import ColumnType, Task

GRAPH_FILE = "model.onnx"
SAVED_MODEL_DIR = "savedmodel"
SIGNATURE_FILE = "signature.json"


@dataclass(frozen=True)
class InputSpec:
    """One input tensor of a product; its first dimension is always the row."""

    name: str
    type: ColumnType
    """float64, int64, bool or string; a numeric column with missing values is float64."""
    shape: tuple[int, ...]
    """One row's shape: () for a plain column, (height, width) or (height, width, channels) for an image."""
    nullable: bool
    """Whether a missing value (null in JSON, NaN in a tensor, `MISSING_STRING` in a string tensor) is allowed."""
    columns: tuple[str, ...]
    """The table's columns it is made of: itself, or an image's pixels in row-major order."""


@dataclass(frozen=True)
class Signature:
    """What a product takes and gives.

    Outputs are always ``prediction`` of shape (n_rows,), in the type of the classes or float64 in the target's units,
    and for classification ``probabilities``, float32 of shape (n_rows, n_classes) in the order of `classes`.
    """

    task: Task
    inputs: tuple[InputSpec, ...]
    classes: tuple[str | int | bool, ...]
    """The labels in the order of the probabilities; empty for regression; for binary the second is the positive."""


@dataclass(frozen=True)
class ProductRef:
    """A product on disk: a folder with `SIGNATURE_FILE`, its runtime's `GRAPH_FILE` or `SAVED_MODEL_DIR`, no more."""

    directory: Path
    digest: str
    """SHA-256 over the files' names and digests, as `components.stage.files.tree_digest` computes it."""
    runtime: str = "onnx"
    """The kind of `ModelRuntime` that serves it."""
