"""The Open Inference Protocol v2: an infer request in, its response out. Knows nothing of routing and limits.

JSON and the binary tensor extension, mixed as the protocol allows. What is not understood is refused, never ignored:
unknown keys, parameters, outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any, NamedTuple

import numpy as np
import orjson

from components.errors import SchemaError
from components.runtime.protocol import PREDICTION, PROBABILITIES
from components.serving.binary_tensors import ACCEPTED, DATATYPES, from_bytes, to_bytes, widened
from components.serving.columns import Leaf, checked_column
from components.serving.input_plan import Batch, InputPlan, listed, nearest_name
from components.serving.json_body import parse_object, require_unique_keys
from components.serving.nesting import flat_values
from components.serving.refusals import RequestRefusedError, shown
from components.serving.reply import OCTETS, Reply
from components.serving.served_model import ServedModel
from components.types.dataset import ColumnType
from components.types.product import InputSpec

_REQUEST_KEYS = frozenset({"id", "parameters", "inputs", "outputs"})
_TENSOR_KEYS = frozenset({"name", "shape", "datatype", "parameters", "data"})
_LENGTH_HEADER = b"inference-header-content-length"


class Question(NamedTuple):
    """One infer request, understood."""

    batch: Batch
    id: str | None
    outputs: Mapping[str, bool]
    """The outputs that are wanted, and whether each as binary."""


def parse(body: bytes, json_length: bytes | None, model: ServedModel, most_rows: int) -> Question:
    """Return what a request asks.

    Args:
        body: The whole body: JSON, and binary tensors behind it.
        json_length: The header that says where the JSON ends, if there is one.
        model: Whom it asks.
        most_rows: How many rows it may ask about.

    Raises:
        RequestRefusedError: the body is malformed or too long.
        SchemaError: its tensors are not the model's.
    """
    text, binary = _split_body(body, json_length)
    payload = parse_object(text)
    if not payload.keys() <= _REQUEST_KEYS:
        raise SchemaError(
            f"unknown key `{min(payload.keys() - _REQUEST_KEYS)[:80]}`; expected {listed(sorted(_REQUEST_KEYS))}"
        )
    identity = payload.get("id")
    if identity is not None and type(identity) is not str:
        raise SchemaError(f"`id` must be a string, found {shown(identity)}")
    tensors = payload.get("inputs")
    if type(tensors) is not list:
        raise SchemaError("`inputs` must be a list of tensors")
    reader = _TensorReader(model.plan, binary, most_rows)
    batch = reader.read(tensors)
    outputs, output_keys = _wanted(payload, model)
    require_unique_keys(text, len(payload) + reader.keys + output_keys)
    return Question(batch, identity, outputs)


def answer(model: ServedModel, question: Question, outputs: Mapping[str, np.ndarray]) -> Reply:
    """Return the response to one request."""
    head: dict[str, Any] = {"model_name": model.ref.model, "model_version": model.version}
    if question.id is not None:
        head["id"] = question.id
    described, binary = [], []
    for name, as_binary in question.outputs.items():
        values = outputs[name]
        output: dict[str, Any] = {"name": name, "datatype": output_datatype(values), "shape": values.shape}
        if as_binary:
            binary.append(to_bytes(values))
            output["parameters"] = {"binary_data_size": len(binary[-1])}
        else:
            flat = values.reshape(-1)
            output["data"] = flat.tolist() if flat.dtype.kind == "O" else flat
        described.append(output)
    head["outputs"] = described
    text = orjson.dumps(head, option=orjson.OPT_SERIALIZE_NUMPY)
    if not binary:
        return Reply(200, text)
    return Reply(200, b"".join([text, *binary]), OCTETS, ((_LENGTH_HEADER, b"%d" % len(text)),))


def metadata(model: ServedModel) -> dict[str, Any]:
    """Return a model's metadata as the protocol describes it, with its digest."""
    classes = model.signature.classes
    kind = {str: "BYTES", bool: "BOOL", int: "INT64"}[type(classes[0])] if classes else "FP64"
    outputs: list[dict[str, Any]] = [{"name": PREDICTION, "datatype": kind, "shape": [-1]}]
    if classes:
        outputs.append({"name": PROBABILITIES, "datatype": "FP32", "shape": [-1, len(classes)]})
    return {
        "name": model.ref.model,
        "versions": [model.version],
        "platform": f"towpath_{model.placed.runtime}",
        "inputs": [
            {"name": spec.name, "datatype": DATATYPES[spec.type], "shape": [-1, *spec.shape]}
            for spec in model.signature.inputs
        ],
        "outputs": outputs,
        "parameters": {"digest": model.ref.digest, "classes": list(classes)},
    }


def output_datatype(values: np.ndarray) -> str:
    """Return the protocol's word for an output's type."""
    return {"O": "BYTES", "U": "BYTES", "b": "BOOL", "i": "INT64"}.get(values.dtype.kind) or (
        "FP32" if values.dtype == np.float32 else "FP64"
    )


class _TensorReader:
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


def _split_body(body: bytes, json_length: bytes | None) -> tuple[bytes, memoryview]:
    if json_length is None:
        return body, memoryview(b"")
    if not json_length.isdigit() or len(json_length) > 12 or int(json_length) > len(body):
        found = shown(json_length.decode("latin-1"))
        raise RequestRefusedError(400, f"Inference-Header-Content-Length is {found}, the body has {len(body)} bytes")
    # a copy, so that the first tensor starts on an aligned address
    return body[: int(json_length)], memoryview(body[int(json_length) :])


def _checked_rows(rows: int, most_rows: int) -> int:
    if rows < 1:
        raise SchemaError("the request has no rows; expected at least one")
    if rows > most_rows:
        raise RequestRefusedError(
            413, f"the request has {rows} rows, at most {most_rows} are taken; send fewer, or use `towpath predict`"
        )
    return rows


def _wanted(payload: dict[str, Any], model: ServedModel) -> tuple[Mapping[str, bool], int]:
    """Return the outputs that a request wants, each with whether as binary, and how many keys said so."""
    keys = 0
    parameters = payload.get("parameters")
    binary = False
    if parameters is not None:
        if type(parameters) is not dict or not parameters.keys() <= {"binary_data_output"}:
            raise SchemaError("`parameters` may hold `binary_data_output` and nothing else")
        keys += len(parameters)
        binary = _boolean(parameters.get("binary_data_output", False), "binary_data_output")
    outputs = payload.get("outputs")
    if outputs is None or outputs == []:
        return dict.fromkeys(model.output_names, binary), keys
    if type(outputs) is not list:
        raise SchemaError("`outputs` must be a list")
    wanted: dict[str, bool] = {}
    for output in outputs:
        name, as_binary, its_keys = _wanted_output(output, model.output_names, binary)
        if name in wanted:
            raise SchemaError(f"output `{name}` is asked for twice")
        wanted[name] = as_binary
        keys += its_keys
    return wanted, keys


def _wanted_output(output: Any, known: tuple[str, ...], binary: bool) -> tuple[str, bool, int]:
    if type(output) is not dict or not {"name"} <= output.keys() <= {"name", "parameters"}:
        raise SchemaError("each of `outputs` must be an object with `name`, and perhaps `parameters`")
    name = output["name"]
    if type(name) is not str or name not in known:
        raise SchemaError(f"unknown output {shown(name)}; there are {listed(known)}")
    parameters = output.get("parameters", {})
    if type(parameters) is not dict or not parameters.keys() <= {"binary_data"}:
        raise SchemaError(f"output `{name}`: `parameters` may hold `binary_data` and nothing else")
    return name, _boolean(parameters.get("binary_data", binary), "binary_data"), len(output) + len(parameters)


def _boolean(value: Any, name: str) -> bool:
    if type(value) is not bool:
        raise SchemaError(f"`{name}` must be true or false, found {shown(value)}")
    return value
