"""From raw values to a product's input tensors. Knows nothing of HTTP or of a body's format.

The quick way converts all numbers of a request in one step and lets C code refuse what is no number; where it refuses,
`columns` looks at every value and says which one is wrong.
"""

from __future__ import annotations

import difflib
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from math import prod
from typing import Any, NamedTuple

import numpy as np

from components.errors import SchemaError
from components.runtime.batch import CheckedBatch
from components.serving.binary_tensors import DATATYPES
from components.serving.columns import Leaf, Values, checked_column
from components.types.dataset import ColumnType
from components.types.product import Signature

_MANY = 128
"""From so many values on, finding the ones and zeros among them costs less than asking each for its type."""


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
        self.column_list = list(self.columns)
        self.is_flat = all(not spec.shape for spec in self.inputs)
        """Whether every input is one plain column, so that tensors and columns are the same values."""
        self._floats = [index for index, leaf in enumerate(self.leaves) if leaf.type is ColumnType.FLOAT64]
        self._others = [index for index, leaf in enumerate(self.leaves) if leaf.type is not ColumnType.FLOAT64]

    def from_rows(self, rows: Sequence[Values], order: Sequence[int] | None) -> Batch:
        """Return the tensors of a table's rows, all as wide as `columns`, in its order or with its places in `order`.

        Raises:
            SchemaError: a value is not of its column's type, or missing where none may be.
        """
        if not self._others and self.is_flat and (numbers := packed(tuple(chain.from_iterable(rows)))) is not None:
            block = numbers.reshape(len(rows), len(self.columns)).T
            if order is not None:
                block = block[order]
            if len(rows) > 1:  # a single row is contiguous either way
                block = np.ascontiguousarray(block)
            return _vouched(zip(self.tensor_names, block, strict=True), len(rows), block)
        columns = list(zip(*rows, strict=True))
        return self.from_columns(columns if order is None else [columns[place] for place in order])

    def from_columns(self, columns: Sequence[Values]) -> Batch:
        """Return the tensors of a table's columns, all of one length and in the order of `columns`.

        Raises:
            SchemaError: a value is not of its column's type, or missing where none may be.
        """
        rows = len(columns[0])
        if self._others:
            floats = self._float_block([columns[place] for place in self._floats], rows)
            arrays = dict(zip(self._floats, floats, strict=True))
            arrays |= {place: checked_column(self.leaves[place], columns[place]) for place in self._others}
            made: Sequence[np.ndarray] = [arrays[place] for place in range(len(columns))]
        else:
            made = self._float_block(columns, rows)
        if self.is_flat:
            block = made if isinstance(made, np.ndarray) else None
            return _vouched(zip(self.tensor_names, made, strict=True), rows, block)
        return _vouched(self._assembled(list(made), rows), rows)

    def from_tensors(self, tensors: Sequence[Values], rows: int) -> Batch:
        """Return the tensors of flat value lists, one per input in order, each of ``rows * row_width`` values.

        Raises:
            SchemaError: a value is not of its input's type, or missing where none may be.
        """
        if self.is_flat:
            return self.from_columns(tensors)
        made = (
            (leaf.name, checked_column(leaf, values).reshape(rows, *spec.shape))
            for leaf, spec, values in zip(self.tensors, self.inputs, tensors, strict=True)
        )
        return _vouched(made, rows)

    def order_of(self, given: Sequence[str], known: tuple[str, ...], word: str) -> list[int]:
        """Return where each of `known` stands in `given`.

        Raises:
            SchemaError: a name is unknown, missing or given twice.
        """
        positions: dict[str, int] = {}
        for position, name in enumerate(given):
            if type(name) is not str or name not in known:
                hint = nearest_name(str(name), known)
                raise SchemaError(f"unknown {word} `{str(name)[:80]}`{hint}; expected {listed(known)}")
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

    def _float_block(self, columns: Sequence[Values], rows: int) -> Sequence[np.ndarray]:
        if (numbers := packed(tuple(chain.from_iterable(columns)))) is not None:
            block: Any = numbers.reshape(len(columns), rows)
            return block
        leaves = [self.leaves[place] for place in self._floats]
        return [checked_column(leaf, values) for leaf, values in zip(leaves, columns, strict=True)]

    def _assembled(self, arrays: Sequence[np.ndarray], rows: int) -> Iterator[tuple[str, np.ndarray]]:
        start = 0
        for spec in self.inputs:
            parts = arrays[start : start + len(spec.columns)]
            start += len(spec.columns)
            yield spec.name, np.stack(parts, axis=1).reshape(rows, *spec.shape) if spec.shape else parts[0]


def _vouched(tensors: Iterable[tuple[str, np.ndarray]], rows: int, block: np.ndarray | None = None) -> Batch:
    batch = CheckedBatch(tensors)
    batch.rows, batch.block = rows, block
    return Batch(batch, rows)


def packed(values: Values) -> np.ndarray | None:
    """Return values as float64, or None when one of them is not a number (true and false are none)."""
    try:
        numbers = np.frombuffer(struct.pack(f"{len(values)}d", *values))
    except struct.error:
        return None
    if len(values) < _MANY:
        return None if bool in set(map(type, values)) else numbers
    # struct takes true and false for 1 and 0: so only those need to be asked what they are
    suspects = np.flatnonzero((numbers == 0) | (numbers == 1)).tolist()
    return None if any(type(values[place]) is bool for place in suspects) else numbers


def nearest_name(name: str, known: Iterable[str]) -> str:
    """Return `` (did you mean `x`?)``, or nothing when no known name is near."""
    matches = difflib.get_close_matches(name[:100], list(known), n=1)
    return f" (did you mean `{matches[0]}`?)" if matches else ""


def listed(names: Iterable[str], most: int = 8) -> str:
    """Return names as a sentence can list them, the first few only."""
    all_names = [f"`{name}`" for name in names]
    more = f" and {len(all_names) - most} more" if len(all_names) > most else ""
    return ", ".join(all_names[:most]) + more
