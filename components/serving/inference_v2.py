"""The Open Inference Protocol v2: an infer request in, its response out. Knows nothing of routing and limits.

JSON and the binary tensor extension, mixed as the protocol allows. What is not understood is refused, never ignored:
unknown keys, parameters, outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson

from components.errors import SchemaError
from components.runtime.protocol import PREDICTION, PROBABILITIES
from components.serving.binary_tensors import DATATYPES, to_bytes
from components.serving.infer_tensors import TensorReader
from components.serving.input_plan import Batch, listed
from components.serving.json_body import parse_object, require_unique_keys
from components.serving.protocol import Answer
from components.serving.refusals import RequestRefusedError, shown
from components.serving.reply import OCTETS, Reply
from components.serving.served_model import ServedModel

_REQUEST_KEYS = frozenset({"id", "parameters", "inputs", "outputs"})
_LENGTH_HEADER = b"inference-header-content-length"


class Question(NamedTuple):
    """What one infer request wants beside its rows."""

    id: str | None
    outputs: Mapping[str, bool]
    """The outputs that are wanted, and whether each as binary."""

    def answer(self, model: ServedModel, outputs: Mapping[str, np.ndarray]) -> Reply:
        """Return the response to one request."""
        head: dict[str, Any] = {"model_name": model.ref.model, "model_version": model.version}
        if self.id is not None:
            head["id"] = self.id
        described, binary = [], []
        for name, as_binary in self.outputs.items():
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


def parse(body: bytes, headers: Mapping[bytes, bytes], model: ServedModel, most_rows: int) -> tuple[Batch, Answer]:
    """Return the rows that a request asks about, and how they are answered.

    Args:
        body: The whole body: JSON, and binary tensors behind it.
        headers: One of them says where the JSON ends, if there are binary tensors.
        model: Whom it asks.
        most_rows: How many rows it may ask about.

    Raises:
        RequestRefusedError: the body is malformed or too long.
        SchemaError: its tensors are not the model's.
    """
    text, binary = _split_body(body, headers.get(_LENGTH_HEADER))
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
    reader = TensorReader(model.plan, binary, most_rows)
    batch = reader.read(tensors)
    outputs, output_keys = _wanted(payload, model)
    require_unique_keys(text, len(payload) + reader.keys + output_keys)
    return batch, Question(identity, outputs).answer


def metadata(model: ServedModel, versions: Sequence[str] = ()) -> dict[str, Any]:
    """Return a model's metadata as the protocol describes it, with its digest, and the versions that can be named."""
    classes = model.signature.classes
    kind = {str: "BYTES", bool: "BOOL", int: "INT64"}[type(classes[0])] if classes else "FP64"
    outputs: list[dict[str, Any]] = [{"name": PREDICTION, "datatype": kind, "shape": [-1]}]
    if classes:
        outputs.append({"name": PROBABILITIES, "datatype": "FP32", "shape": [-1, len(classes)]})
    return {
        "name": model.ref.model,
        "versions": list(versions) or [model.version],
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


def _split_body(body: bytes, json_length: bytes | None) -> tuple[bytes, memoryview]:
    if json_length is None:
        return body, memoryview(b"")
    if not json_length.isdigit() or len(json_length) > 12 or int(json_length) > len(body):
        found = shown(json_length.decode("latin-1"))
        raise RequestRefusedError(400, f"Inference-Header-Content-Length is {found}, the body has {len(body)} bytes")
    # a copy, so that the first tensor starts on an aligned address
    return body[: int(json_length)], memoryview(body[int(json_length) :])


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
