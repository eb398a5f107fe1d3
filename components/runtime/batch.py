"""Check a batch against a signature, and give the errors a caller can act on. Knows no runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn

import numpy as np

from components.errors import FaultError, SchemaError
from components.runtime.protocol import PREDICTION, PROBABILITIES, Batch, Tensor
from components.types.dataset import MISSING_STRING, ColumnType
from components.types.product import InputSpec, Signature

DTYPES: Mapping[ColumnType, np.dtype[np.generic]] = {
    ColumnType.FLOAT64: np.dtype(np.float64),
    ColumnType.INT64: np.dtype(np.int64),
    ColumnType.BOOL: np.dtype(np.bool_),
    ColumnType.STRING: np.dtype(object),
}


_FLOAT, _OBJECT = DTYPES[ColumnType.FLOAT64], DTYPES[ColumnType.STRING]


class InvalidOutputError(FaultError):
    """Say what is wrong with what a product answered, where it did answer."""


class CheckedBatch(dict[str, Tensor]):
    """A batch that its maker built from the signature, value by value, and vouches for: it is not looked at again."""

    __slots__ = ("block", "rows")

    rows: int
    block: Tensor | None
    """All of it as one array of shape (n_inputs, n_rows), float64, where every input is a plain number; else None."""


class BatchCheck:
    """Check batches against a product's inputs; made once, since it is asked before every prediction."""

    def __init__(self, inputs: Sequence[InputSpec]) -> None:
        """Take what a product takes; there is at least one input."""
        self._inputs = tuple(inputs)
        self._plain = tuple((spec, spec.name, DTYPES[spec.type], spec.shape) for spec in inputs)
        self._names = frozenset(spec.name for spec in inputs)

    def __call__(self, batch: Batch) -> int:
        """Return the number of rows of `batch`, once it is what the inputs ask for.

        Raises:
            SchemaError: an input is missing, unknown, empty, of another type or shape, or has a value it may not have.
        """
        if len(batch) != len(self._inputs) or not self._names.issubset(batch):
            _refuse_names(self._inputs, batch)
        n_rows = _count_rows(self._inputs[0], batch[self._inputs[0].name])
        floats = []
        for spec, name, dtype, shape in self._plain:
            array = batch[name]
            if array.shape != (n_rows, *shape):
                _refuse_shape(spec, array, n_rows)
            if dtype is _OBJECT:
                _check_strings(spec, array)
            elif array.dtype != dtype:
                _refuse_type(spec, array)
            elif dtype is _FLOAT:
                floats.append(array.ravel() if shape else array)
        # one look at all numbers together: one per input would cost as much as the prediction of a row
        if floats and not np.isfinite(np.concatenate(floats)).all():
            for spec in self._inputs:
                if spec.type is ColumnType.FLOAT64:
                    check_numbers(spec, batch[spec.name])
        return n_rows


def neutral_rows(inputs: Sequence[InputSpec], n_rows: int) -> dict[str, Tensor]:
    """Return rows with nothing in them, to warm a product up: zeros, no, and empty strings."""
    return {
        spec.name: np.full((n_rows, *spec.shape), "" if spec.type is ColumnType.STRING else 0, DTYPES[spec.type])
        for spec in inputs
    }


def check_numbers(spec: InputSpec, array: Tensor, first_row: int = 0) -> None:
    """Check that a float64 input holds no infinity, and NaN (missing) only where that is allowed.

    Raises:
        SchemaError: it does; the message names the first such row, counted from `first_row`.
    """
    for wrong, word in ((np.isinf(array), "an infinite"), (np.isnan(array), "a missing")):
        if wrong.any() and not (word == "a missing" and spec.nullable):
            row = first_row + int(np.argwhere(wrong)[0][0])
            raise SchemaError(_value_message(spec, row, word))


def check_output(outputs: Batch, signature: Signature, n_rows: int) -> None:
    """Check that a prediction has the promised shapes and holds numbers.

    Raises:
        InvalidOutputError: it does not; the model is wrong, not the batch.
    """
    expected: dict[str, tuple[int, ...]] = {PREDICTION: (n_rows,)}
    numbers = outputs.get(PREDICTION)
    if signature.task.is_classification:
        expected[PROBABILITIES] = (n_rows, len(signature.classes))
        numbers = outputs.get(PROBABILITIES)
    found = {name: array.shape for name, array in outputs.items()}
    if found != expected:
        raise InvalidOutputError(
            f"the product gave outputs of shapes {found} where its signature says {expected}; train again"
        )
    if numbers is not None and not np.isfinite(numbers).all():
        row = int(np.argwhere(~np.isfinite(numbers))[0][0])
        raise InvalidOutputError(f"the product's prediction for row {row} is not a finite number; train again")


def missing_message(spec: InputSpec, row: int) -> str:
    """Return the sentence about a missing value where none is allowed."""
    return _value_message(spec, row, "a missing")


def _value_message(spec: InputSpec, row: int, word: str) -> str:
    hint = "give a value, or list the column under `features.nullable` and train again"
    if word == "an infinite":
        hint = "give a finite number"
    return f"input `{spec.name}` has {word} value in row {row}; {hint}"


def _check_strings(spec: InputSpec, array: Tensor) -> None:
    if array.dtype.kind == "U":
        values = array.ravel().tolist()
    elif array.dtype.kind == "O":
        values = array.ravel().tolist()
        # onnxruntime would silently turn another object into its text
        if set(map(type, values)) != {str}:
            row = next(row for row, value in enumerate(values) if type(value) is not str)
            raise SchemaError(
                f"input `{spec.name}` has {type(values[row]).__name__} in row {row}, expected a string "
                "(a missing one is MISSING_STRING)"
            )
    else:
        _refuse_type(spec, array)
    if not spec.nullable and MISSING_STRING in values:
        raise SchemaError(missing_message(spec, values.index(MISSING_STRING)))


def _refuse_names(inputs: Sequence[InputSpec], batch: Batch) -> NoReturn:
    names = [spec.name for spec in inputs]
    if missing := [name for name in names if name not in batch]:
        raise SchemaError(f"input `{missing[0]}` is missing; expected: {', '.join(names)}")
    unknown = sorted(set(batch) - set(names))
    raise SchemaError(f"unknown input `{unknown[0]}`; expected: {', '.join(names)}")


def _count_rows(spec: InputSpec, array: Tensor) -> int:
    if array.ndim and not len(array):
        raise SchemaError(f"input `{spec.name}` has no rows; give at least one")
    return len(array) if array.ndim else 0


def _refuse_shape(spec: InputSpec, array: Tensor, n_rows: int) -> None:
    expected = ", ".join(["n_rows", *map(str, spec.shape)]) + ("," if not spec.shape else "")
    others = f"; the first input has {n_rows} rows" if array.ndim and len(array) != n_rows else ""
    raise SchemaError(f"input `{spec.name}` has shape {array.shape}, expected ({expected}){others}")


def _refuse_type(spec: InputSpec, array: Tensor) -> None:
    raise SchemaError(f"input `{spec.name}` is {array.dtype}, expected {spec.type.value}")
