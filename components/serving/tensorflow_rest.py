"""TensorFlow Serving's ``:predict``: rows or columns in JSON in, predictions out. Knows nothing of routing and limits.

The API: https://www.tensorflow.org/tfx/serving/api_rest. Rows are ``{"instances": [...]}``, each an object of the named
inputs, or just the value where there is one input; columns are ``{"inputs": {...}}``, or just the tensor. The answer is
``{"predictions": ...}`` to rows and ``{"outputs": ...}`` to columns, and names what it holds only where there is more
than the prediction. Beyond that API a missing value is null, where training had missing values; and stricter than it,
NaN and infinities are refused, as are keys that are not known. The content type is not looked at, as there.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from components.errors import SchemaError
from components.runtime.protocol import PREDICTION, PROBABILITIES
from components.serving.input_plan import Batch, InputPlan, listed
from components.serving.json_body import parse_object, require_unique_keys
from components.serving.json_rows import columns_of_records, require_rows
from components.serving.nesting import flat_values
from components.serving.protocol import Answer
from components.serving.refusals import shown
from components.serving.reply import Reply
from components.serving.served_model import ServedModel
from components.serving.tensorflow_model import SIGNATURE_NAME
from components.types.dataset import ColumnType

FORMS = ("instances", "inputs")

_SIGNATURE = "signature_name"
_BASE64 = "b64"


def parse(
    body: bytes,
    headers: Mapping[bytes, bytes],  # noqa: ARG001 - the API looks at none
    model: ServedModel,
    most_rows: int,
) -> tuple[Batch, Answer]:
    """Return the rows that a request asks about, and how they are answered.

    Raises:
        RequestRefusedError: the body is malformed or too long.
        SchemaError: its values are not the model's, or it names a signature that the model does not have.
    """
    payload = parse_object(body)
    plan = model.plan
    if _form(payload) == "instances":
        tensors, keys = _by_rows(payload["instances"], plan, most_rows)
        answer = by_rows
    else:
        tensors, keys = _by_columns(payload["inputs"], plan, most_rows)
        answer = by_columns
    rows = len(tensors[0])
    if not plan.is_flat:
        tensors = [
            flat_values(values, (rows, *spec.shape), spec.name)
            for spec, values in zip(plan.inputs, tensors, strict=True)
        ]
    for place, leaf in enumerate(plan.tensors):
        if leaf.type is ColumnType.STRING and dict in set(map(type, tensors[place])):
            tensors[place], decoded = _decoded(tensors[place], leaf.name, leaf.row_width)
            keys += decoded
    batch = plan.from_tensors(tensors, rows)
    require_unique_keys(body, len(payload) + keys)
    return batch, answer


def by_rows(model: ServedModel, outputs: Mapping[str, np.ndarray]) -> Reply:  # noqa: ARG001 - it says whose it is
    """Return the response to a request by rows."""
    rows = outputs[PREDICTION].tolist()
    if (probabilities := outputs.get(PROBABILITIES)) is not None:
        pairs = zip(rows, probabilities.tolist(), strict=True)
        rows = [{PREDICTION: value, PROBABILITIES: each} for value, each in pairs]
    return Reply(200, orjson.dumps({"predictions": rows}))


def by_columns(model: ServedModel, outputs: Mapping[str, np.ndarray]) -> Reply:
    """Return the response to a request by columns."""
    columns = {name: outputs[name].tolist() for name in model.output_names}
    return Reply(200, orjson.dumps({"outputs": columns if len(columns) > 1 else columns[PREDICTION]}))


def _form(payload: dict[str, Any]) -> str:
    """Return whether rows or columns are given."""
    forms = [form for form in FORMS if form in payload]
    if len(forms) != 1:
        raise SchemaError(f"expected exactly one of {listed(FORMS)}, found {listed(forms) or 'none of them'}")
    if len(payload) > 1:
        for key in payload:
            if key not in (forms[0], _SIGNATURE):
                raise SchemaError(f"unknown key `{key[:80]}`; expected `{forms[0]}`, and perhaps `{_SIGNATURE}`")
        if (name := payload[_SIGNATURE]) not in (SIGNATURE_NAME, ""):
            raise SchemaError(
                f"there is no signature {shown(name)}; expected `{SIGNATURE_NAME}`, which may be left out"
            )
    return forms[0]


def _by_rows(content: Any, plan: InputPlan, most_rows: int) -> tuple[list[list[Any]], int]:
    """Return the values of each input, and how many keys they had."""
    if type(content) is not list:
        raise SchemaError(f"`instances` must be a list with one element a row, found {shown(content)}")
    require_rows(len(content), most_rows)
    names = plan.tensor_names
    if type(content[0]) is dict and not _is_base64(content[0]):
        return columns_of_records(content, names, plan, "input"), len(content) * len(names)
    if len(names) > 1:
        raise SchemaError(
            f"`instances` must be objects that name the inputs, since there are {len(names)}: {listed(names)}"
        )
    return [content], 0


def _by_columns(content: Any, plan: InputPlan, most_rows: int) -> tuple[list[list[Any]], int]:
    """Return the values of each input, all of one length, and how many keys they had."""
    names = plan.tensor_names
    if type(content) is dict and not _is_base64(content):
        order = plan.order_of(list(content), names, "input")
        given = list(content.values())
        tensors, keys = [given[place] for place in order], len(content)
    elif len(names) == 1:
        tensors, keys = [content], 0
    else:
        raise SchemaError(
            f"`inputs` must be an object that names the inputs, since there are {len(names)}: {listed(names)}"
        )
    for name, values in zip(names, tensors, strict=True):
        if type(values) is not list:
            raise SchemaError(f"input `{name}`: expected a list with one value a row, found {shown(values)}")
        require_rows(len(values), most_rows)
        if len(values) != len(tensors[0]):
            raise SchemaError(f"input `{name}` has {len(values)} rows, expected {len(tensors[0])}, as the first input")
    return tensors, keys


def _is_base64(value: Any) -> bool:
    return type(value) is dict and len(value) == 1 and type(value.get(_BASE64)) is str


def _decoded(values: list[Any], name: str, row_width: int) -> tuple[list[Any], int]:
    """Return texts of which some were given as Base64, and how many were."""
    texts, decoded = list(values), 0
    for index, value in enumerate(values):
        if _is_base64(value):
            texts[index] = _text(value[_BASE64], f"row {index // row_width}, column `{name}`")
            decoded += 1
    return texts, decoded


def _text(encoded: str, where: str) -> str:
    padded = encoded.encode() + b"=" * (-len(encoded) % 4)  # padding may be left out there, too
    try:
        return base64.b64decode(padded, validate=True).decode()
    except binascii.Error:
        raise SchemaError(f"{where}: `{_BASE64}` is not Base64") from None
    except UnicodeDecodeError:
        raise SchemaError(f"{where}: `{_BASE64}` does not hold UTF-8, as texts are here") from None
