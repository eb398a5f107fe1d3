"""Does the product predict what the framework predicts? Compares them on the validation split, from its raw columns.

Knows the framework's output only as an array: it imports no framework.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from components.errors import ParityError, TrainingError
from components.runtime.protocol import PREDICTION, PROBABILITIES, ModelRuntime
from components.runtime.tensors import input_tensors
from components.types.dataset import Split
from components.types.product import Signature
from components.types.training import PreparedSpec, TrainedModel

Array = np.ndarray[Any, Any]
BATCH_ROWS = 65_536


def measure_parity(
    runtime: ModelRuntime, signature: Signature, prepared_dir: Path, spec: PreparedSpec, trained: TrainedModel
) -> float:
    """Return the largest absolute difference between the product and the framework on the validation split.

    Probabilities are compared as they are, a number in standard deviations of the target.

    Raises:
        ParityError: the product's labels are not those of its probabilities, or it has no finite number for a row.
        TrainingError: the framework's own output is not one row per row of the split.
    """
    expected = _framework_output(trained, spec)
    largest, first_row = 0.0, 0
    with pq.ParquetFile(prepared_dir / f"{Split.VALIDATION}.parquet") as file:
        for batch in file.iter_batches(BATCH_ROWS):
            outputs = runtime.predict(input_tensors(batch, signature.inputs, first_row))
            found = _product_output(outputs, spec)
            rows = expected[first_row : first_row + len(found)]
            if rows.shape != found.shape:
                raise TrainingError(_shape_message(expected, spec))
            largest = max(largest, float(np.abs(found - rows).max()))
            first_row += len(found)
    if first_row != len(expected):
        raise TrainingError(_shape_message(expected, spec))
    return largest


def require_parity(parity: float, bound: float, where: str) -> None:
    """Check that a difference is within its bound.

    Raises:
        ParityError: it is not, or is not a number.
    """
    if not parity <= bound:
        raise ParityError(
            f"{where}: the product and the framework differ by {parity:.3g} on the validation split, allowed is "
            f"{bound:g}; the export is wrong or loses precision: choose another architecture, or raise `parity_bound`"
        )


def _framework_output(trained: TrainedModel, spec: PreparedSpec) -> Array:
    """Return the framework's output as the product should have it, float64; a number in standard deviations."""
    output: Array = np.load(trained.validation_output, allow_pickle=False).astype(np.float64)
    if not np.isfinite(output).all():
        row = int(np.argwhere(~np.isfinite(output))[0][0])
        raise TrainingError(
            f"the framework's prediction for row {row} of the validation split is no finite number; lower the learning "
            "rate, or look at the prepared features for extreme values"
        )
    if trained.network is None:
        return output if spec.classes else (output.reshape(-1) - spec.target_mean) / spec.target_scale
    if not spec.classes:
        return output.reshape(-1)
    return _softmax(output) if output_name(trained.network) == "logits" else output


def _product_output(outputs: Any, spec: PreparedSpec) -> Array:
    prediction = np.asarray(outputs[PREDICTION])
    if not spec.classes:
        return (prediction.astype(np.float64) - spec.target_mean) / spec.target_scale
    probabilities: Array = np.asarray(outputs[PROBABILITIES]).astype(np.float64)
    labels = np.asarray(spec.classes, dtype=object)[probabilities.argmax(axis=1)]
    if not (prediction.astype(object) == labels).all():
        raise ParityError("the product's predictions are not the classes of its largest probabilities; train again")
    return probabilities


def output_name(network: Path) -> str:
    """Return the name of a network's one output, which says what it means."""
    import onnx  # only here: the check of a raw product does without

    name: str = onnx.load(str(network), load_external_data=False).graph.output[0].name
    return name


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    share: Array = powers / powers.sum(axis=1, keepdims=True)
    return share


def _shape_message(expected: Array, spec: PreparedSpec) -> str:
    shape = (spec.rows[Split.VALIDATION], spec.n_outputs)
    return f"the framework's output on the validation split has shape {expected.shape}, expected {shape}"
