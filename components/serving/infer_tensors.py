"""The tensors of one infer request: JSON and binary, to a batch. Knows nothing of the rest of a request.

What is not understood is refused, never ignored.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from components.errors import SchemaError
from components.serving.binary_tensors import ACCEPTED, DATATYPES, from_bytes, widened
from components.serving.columns import Leaf, checked_column
from components.serving.input_plan import Batch, InputPlan, listed, nearest_name
from components.serving.nesting import flat_values
from components.serving.refusals import RequestRefusedError, shown
from components.types.dataset import ColumnType
from components.types.product import InputSpec

_TENSOR_KEYS = frozenset({"name", "shape", "datatype", "parameters", "data"})


class TensorReader:
    """Read the tensors of one request."""

    def __init__(self, plan: InputPlan, binary: memoryview, most_rows: int) -> None:
        self._plan = plan
        self._binary = binary
        self._position = 0
        self._most_rows = most_rows
        self._rows = 0
        self.keys = 0
        """How many keys the JSON of the tensors has."""

    def read(self, tensors: list[Any]) -> Batch:
        """Return the rows that the tensors hold.

        Raises:
            RequestRefusedError: they are too many.
            SchemaError: a tensor is unknown, missing, given twice, or not what its input takes.
        """
        if (columns := self._usual_columns(tensors)) is not None:
            return self._plan.from_columns(columns)
        plan = self._plan
        found: list[Any] = [None] * len(plan.inputs)
        plain = True
        for tensor in tensors:
            if type(tensor) is not dict:
                raise SchemaError(f"`inputs` must be a list of tensors, found {shown(tensor)} in it")
            name = tensor.get("name")
            index = plan.tensor_index.get(name) if type(name) is str else None
            if index is None:
                known = plan.tensor_names
                raise SchemaError(
                    f"unknown input {shown(name)}{nearest_name(str(name), known)}; expected {listed(known)}"
                )
            if found[index] is not None:
                raise SchemaError(f"input `{name}` is given twice")
            self.keys += len(tensor)
            found[index] = values = self._values(tensor, plan.inputs[index], plan.tensors[index])
            plain = plain and type(values) is list
        if None in found if plain else any(values is None for values in found):
            plan.require_all([t["name"] for t in tensors], plan.tensor_names, "input")
        if self._position != len(self._binary):
            raise SchemaError(f"{len(self._binary) - self._position} bytes of binary data belong to no input")
        if plain:
            return plan.from_tensors(found, self._rows)
        arrays = {
            leaf.name: checked_column(leaf, values).reshape(self._rows, *spec.shape) if type(values) is list else values
            for leaf, spec, values in zip(plan.tensors, plan.inputs, found, strict=True)
        }
        return Batch(arrays, self._rows)

    def _usual_columns(self, tensors: list[Any]) -> list[list[Any]] | None:
        """Return the values if all tensors are as most clients send them: JSON, typed and ordered as the signature.

        Nothing is accepted here that the careful way would refuse; it is five times quicker on thirty inputs.
        """
        plan = self._plan
        if self._binary or not plan.is_flat or len(tensors) != len(plan.inputs):
            return None
        columns = []
        try:
            rows = tensors[0]["shape"][0]
            if type(rows) is not int or not 0 < rows <= self._most_rows:
                return None
            for tensor, name, datatype in zip(tensors, plan.tensor_names, plan.datatypes, strict=True):
                shape, data = tensor["shape"], tensor["data"]
                if (
                    len(tensor) != 4  # these and no other keys
                    or tensor["name"] != name
                    or tensor["datatype"] != datatype
                    or type(data) is not list
                    or len(data) != rows
                    or shape != [rows]
                    or type(shape[0]) is not int
                ):
                    return None
                columns.append(data)
        except (KeyError, TypeError, IndexError):
            return None
        self.keys = 4 * len(tensors)
        return columns

    def _values(self, tensor: dict[str, Any], spec: InputSpec, leaf: Leaf) -> list[Any] | np.ndarray:
        shape = self._shape(tensor.get("shape"), spec)
        datatype = tensor.get("datatype")
        if type(datatype) is not str or datatype not in ACCEPTED[spec.type]:
            raise SchemaError(f"input `{spec.name}`: datatype {shown(datatype)}, expected {DATATYPES[spec.type]}")
        if not tensor.keys() <= _TENSOR_KEYS:
            unknown = min(tensor.keys() - _TENSOR_KEYS)
            raise SchemaError(
                f"input `{spec.name}`: unknown key `{unknown[:80]}`; expected {listed(sorted(_TENSOR_KEYS))}"
            )
        if tensor.get("parameters") not in (None, {}):
            return self._binary_values(tensor, spec, datatype, shape)
        values = tensor.get("data")
        if type(values) is not list:
            raise SchemaError(f"input `{spec.name}`: expected a list as `data`, found {shown(values)}")
        if spec.shape and values and type(values[0]) is list:
            values = flat_values(values, shape, spec.name)
        elif len(values) != prod(shape):
            raise SchemaError(
                f"input `{spec.name}`: {len(values)} values, expected {prod(shape)} for shape {list(shape)}"
            )
        if datatype == DATATYPES[spec.type]:
            return values
        return self._converted(values, datatype, spec, leaf, shape)

    def _shape(self, given: Any, spec: InputSpec) -> tuple[int, ...]:
        if type(given) is not list or any(type(size) is not int for size in given):
            raise SchemaError(f"input `{spec.name}`: `shape` must be a list of integers")
        if not self._rows and given:
            self._rows = _checked_rows(given[0], self._most_rows)
        expected = (self._rows, *spec.shape)
        if tuple(given) != expected:
            wanted = ["rows", *spec.shape]
            raise SchemaError(
                f"input `{spec.name}`: shape {shown(str(given))}, expected [{', '.join(map(str, wanted))}]"
                f"{f' with {self._rows} rows, as in the first input' if self._rows else ''}"
            )
        return expected

    def _binary_values(
        self, tensor: dict[str, Any], spec: InputSpec, datatype: str, shape: tuple[int, ...]
    ) -> np.ndarray:
        parameters = tensor["parameters"]
        if type(parameters) is not dict or parameters.keys() != {"binary_data_size"} or "data" in tensor:
            raise SchemaError(
                f"input `{spec.name}`: expected either `data`, or `parameters` with `binary_data_size` and nothing else"
            )
        self.keys += 1
        size = parameters["binary_data_size"]
        if type(size) is not int or not 0 <= size <= len(self._binary) - self._position:
            raise SchemaError(
                f"input `{spec.name}`: `binary_data_size` is {shown(size)}, more than was sent or no size"
            )
        raw = self._binary[self._position : self._position + size]
        self._position += size
        return from_bytes(raw, datatype, spec.type, shape, spec.name)

    def _converted(
        self, values: list[Any], datatype: str, spec: InputSpec, leaf: Leaf, shape: tuple[int, ...]
    ) -> np.ndarray:
        """Return JSON values that were declared in another type than the input's, as a binary tensor would be."""
        if datatype == "FP32":
            numbers = checked_column(leaf, values)
            with np.errstate(over="ignore"):
                return numbers.astype(np.float32).astype(np.float64).reshape(shape)
        whole = checked_column(Leaf(leaf.name, ColumnType.INT64, False, leaf.row_width), values)
        return widened(whole, spec.type, spec.name).reshape(shape)


def _checked_rows(rows: int, most_rows: int) -> int:
    if rows < 1:
        raise SchemaError("the request has no rows; expected at least one")
    if rows > most_rows:
        raise RequestRefusedError(
            413, f"the request has more than {most_rows} rows; send fewer, or use `towpath predict`"
        )
    return rows
