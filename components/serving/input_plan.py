"""From raw values to a product's input tensors. Knows nothing of HTTP or of a body's format.

The quick way converts all numbers of a request in one step and lets C code refuse what is no number; where it refuses,
or might let a boolean pass as a number, `columns` looks at every value and says which one is wrong.
"""

from __future__ import annotations

import difflib
from array import array
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from math import prod
from typing import Any, NamedTuple

import numpy as np

from components.errors import SchemaError
from components.serving.binary_tensors import DATATYPES
from components.serving.columns import Leaf, Values, checked_column
from components.types.dataset import ColumnType
from components.types.product import Signature


class Batch(NamedTuple):
    """Some rows, ready for a runtime."""

    tensors: Mapping[str, np.ndarray]
    rows: int


class InputPlan:
    """How the raw values of one signature become tensors; made once per version."""

    def __init__(self, signature: Signature) -> None:
        self.inputs = signature.inputs
        self.tensors = tuple(Leaf(i.name, i.type, i.nullable, prod(i.shape)) for i in self.inputs)
        self.tensor_names = tuple(leaf.name for leaf in self.tensors)
        self.tensor_index = {name: index for index, name in enumerate(self.tensor_names)}
        self.datatypes = tuple(DATATYPES[spec.type] for spec in self.inputs)
        self.leaves = tuple(Leaf(column, i.type, i.nullable) for i in self.inputs for column in i.columns)
        self.columns = tuple(leaf.name for leaf in self.leaves)
        self.is_flat = all(not spec.shape for spec in self.inputs)
        """Whether every input is one plain column, so that tensors and columns are the same values."""
        self._floats = [index for index, leaf in enumerate(self.leaves) if leaf.type is ColumnType.FLOAT64]
        self._others = [index for index, leaf in enumerate(self.leaves) if leaf.type is not ColumnType.FLOAT64]

    def from_columns(self, columns: Sequence[Values], may_hold_bools: bool) -> Batch:
        """Return the tensors of a table's columns, all of one length and in the order of `columns`.

        Args:
            columns: The values, column by column.
            may_hold_bools: False when it is known that no value is true or false.

        Raises:
            SchemaError: a value is not of its column's type, or missing where none may be.
        """
        rows = len(columns[0])
        if not self._others:
            arrays: Sequence[Any] = self._float_block(columns, self.leaves, rows, may_hold_bools)
        else:
            arrays = [None] * len(columns)
            picked = [columns[index] for index in self._floats]
            leaves = [self.leaves[index] for index in self._floats]
            block = self._float_block(picked, leaves, rows, may_hold_bools)
            for index, values in zip(self._floats, block, strict=True):
                arrays[index] = values  # type: ignore[index]
            for index in self._others:
                arrays[index] = checked_column(self.leaves[index], columns[index])  # type: ignore[index]
        if self.is_flat:
            return Batch(dict(zip(self.tensor_names, arrays, strict=True)), rows)
        return Batch(self._assembled(arrays, rows), rows)

    def from_tensors(self, tensors: Sequence[Values], rows: int, may_hold_bools: bool) -> Batch:
        """Return the tensors of flat value lists, one per input in order, each of ``rows * row_width`` values.

        Raises:
            SchemaError: a value is not of its input's type, or missing where none may be.
        """
        if self.is_flat:
            return self.from_columns(tensors, may_hold_bools)
        made = {
            leaf.name: checked_column(leaf, values).reshape(rows, *spec.shape)
            for leaf, spec, values in zip(self.tensors, self.inputs, tensors, strict=True)
        }
        return Batch(made, rows)

    def order_of(self, given: Sequence[str], known: tuple[str, ...], word: str) -> list[int]:
        """Return where each of `known` stands in `given`.

        Raises:
            SchemaError: a name is unknown, missing or given twice.
        """
        positions: dict[str, int] = {}
        for position, name in enumerate(given):
            if type(name) is not str or name not in known:
                raise SchemaError(f"unknown {word} `{name}`{nearest_name(str(name), known)}; expected {listed(known)}")
            if name in positions:
                raise SchemaError(f"{word} `{name}` is given twice")
            positions[name] = position
        self.require_all(positions, known, word)
        return [positions[name] for name in known]

    def require_all(self, given: Iterable[str], known: tuple[str, ...], word: str) -> None:
        """Check that no name is missing.

        Raises:
            SchemaError: at least one is.
        """
        if missing := [name for name in known if name not in set(given)]:
            raise SchemaError(f"{word} {listed(missing)} is missing; expected {listed(known)}")

    def _float_block(
        self, columns: Sequence[Values], leaves: Sequence[Leaf], rows: int, may_hold_bools: bool
    ) -> np.ndarray | list[np.ndarray]:
        if not may_hold_bools:
            try:
                packed = array("d", list(chain.from_iterable(columns)))
            except TypeError:  # something is no number: find out what
                pass
            else:
                return np.frombuffer(packed).reshape(len(columns), rows)
        return [checked_column(leaf, values) for leaf, values in zip(leaves, columns, strict=True)]

    def _assembled(self, arrays: Sequence[np.ndarray], rows: int) -> dict[str, np.ndarray]:
        tensors, start = {}, 0
        for spec in self.inputs:
            parts = arrays[start : start + len(spec.columns)]
            start += len(spec.columns)
            tensors[spec.name] = np.stack(parts, axis=1).reshape(rows, *spec.shape) if spec.shape else parts[0]
        return tensors


def nearest_name(name: str, known: Iterable[str]) -> str:
    """Return `` (did you mean `x`?)``, or nothing when no known name is near."""
    matches = difflib.get_close_matches(name[:100], list(known), n=1)
    return f" (did you mean `{matches[0]}`?)" if matches else ""


def listed(names: Iterable[str], most: int = 8) -> str:
    """Return names as a sentence can list them, the first few only."""
    all_names = [f"`{name}`" for name in names]
    more = f" and {len(all_names) - most} more" if len(all_names) > most else ""
    return ", ".join(all_names[:most]) + more
