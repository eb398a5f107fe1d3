"""MLflow's ``/invocations``: its four JSON forms and CSV in, predictions out. Knows nothing of routing and limits.

The answer is what ``mlflow models serve`` gives for the registered version: ``{"predictions": [...]}`` with one object
a row, of ``prediction`` and for classification ``probabilities`` in the order of the classes. Beside it stand
``model_name`` and ``model_version``, which MLflow's clients pass over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from components.errors import SchemaError
from components.runtime.protocol import PREDICTION, PROBABILITIES
from components.serving.csv_rows import csv_columns
from components.serving.input_plan import Batch, InputPlan, listed
from components.serving.json_body import parse_object, require_unique_keys
from components.serving.json_rows import columns_of_records, require_rows
from components.serving.nesting import flat_values
from components.serving.protocol import Answer
from components.serving.refusals import RequestRefusedError, shown
from components.serving.reply import Reply
from components.serving.served_model import ServedModel

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")

_JSON_TYPE = b"application/json"
_CSV_TYPE = b"text/csv"


def parse(body: bytes, headers: Mapping[bytes, bytes], model: ServedModel, most_rows: int) -> tuple[Batch, Answer]:
    """Return the rows that a request asks about, and how they are answered.

    Raises:
        RequestRefusedError: the body is of another format, or too long.
        SchemaError: its columns or values are not the model's.
    """
    content_type = headers.get(b"content-type", b"")
    if content_type == _JSON_TYPE or (kind := _kind(content_type)) == _JSON_TYPE:
        return _parse_json(body, model.plan, most_rows), answer
    if kind == _CSV_TYPE:
        return _parse_csv(body, model.plan, most_rows), answer
    raise RequestRefusedError(
        415, f"content type {shown(kind.decode('latin-1'))}; expected application/json or text/csv"
    )


def answer(model: ServedModel, outputs: Mapping[str, np.ndarray]) -> Reply:
    """Return the response to one request."""
    predictions = outputs[PREDICTION].tolist()
    if (probabilities := outputs.get(PROBABILITIES)) is None:
        rows = [{PREDICTION: value} for value in predictions]
    else:
        pairs = zip(predictions, probabilities.tolist(), strict=True)
        rows = [{PREDICTION: value, PROBABILITIES: each} for value, each in pairs]
    content = {"predictions": rows, "model_name": model.ref.model, "model_version": model.version}
    return Reply(200, orjson.dumps(content))


def _kind(content_type: bytes) -> bytes:
    """Return a content type without its parameters, of which only UTF-8's is known."""
    kind, _, parameters = content_type.partition(b";")
    if parameters and parameters.strip().lower().replace(b'"', b"") != b"charset=utf-8":
        raise RequestRefusedError(
            415, f"content type parameter {shown(parameters.decode('latin-1'))}; only charset=utf-8 is known"
        )
    return kind.strip().lower()


def _parse_json(body: bytes, plan: InputPlan, most_rows: int) -> Batch:
    payload = parse_object(body)
    form = next(iter(payload), "")
    if len(payload) != 1 or form not in FORMS:
        form = _only_form(payload)
    content = payload[form]
    if form == "dataframe_split":
        return _split(body, payload, plan, most_rows)
    if form == "dataframe_records":
        columns = columns_of_records(content, plan.columns, plan, "column")
        require_unique_keys(body, len(payload) + len(content) * len(plan.columns))
        require_rows(len(content), most_rows)
        return plan.from_columns(columns)
    return _tensors(body, payload, form, plan, most_rows)


def _only_form(payload: dict[str, Any]) -> str:
    forms = [form for form in FORMS if form in payload]
    if len(forms) != 1:
        raise SchemaError(f"expected exactly one of {listed(FORMS)}, found {listed(forms) or 'none of them'}")
    for key in payload:
        if key != forms[0] and not (key == "params" and not payload[key]):
            raise SchemaError(f"unknown key `{key[:80]}`; expected only `{forms[0]}`")
    return forms[0]


def _parse_csv(body: bytes, plan: InputPlan, most_rows: int) -> Batch:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SchemaError(f"the body is not UTF-8 at byte {error.start}") from None
    columns = csv_columns(text, plan, most_rows)
    require_rows(len(columns[0]), most_rows)
    return plan.from_columns(columns)


def _split(body: bytes, payload: dict[str, Any], plan: InputPlan, most_rows: int) -> Batch:
    """Return the rows of ``{"columns": [...], "data": [[...], ...]}``; pandas' ``index`` is passed over."""
    content = payload["dataframe_split"]
    if type(content) is not dict or not {"columns", "data"} <= content.keys() <= {"columns", "data", "index"}:
        raise SchemaError("`dataframe_split` must be an object with `columns` and `data`, and perhaps `index`")
    names, data = content["columns"], content["data"]
    if type(names) is not list or type(data) is not list:
        raise SchemaError("`columns` and `data` of `dataframe_split` must be lists")
    order = None if names == plan.column_list else plan.order_of(names, plan.columns, "column")
    if "index" in content and (type(content["index"]) is not list or len(content["index"]) != len(data)):
        raise SchemaError("`index` of `dataframe_split` must be a list as long as `data`")
    require_unique_keys(body, len(payload) + len(content))
    require_rows(len(data), most_rows)
    if not (set(map(type, data)) <= {list} and set(map(len, data)) <= {len(names)}):
        raise _first_bad_row(data, len(names))
    return plan.from_rows(data, order)


def _first_bad_row(data: list[Any], width: int) -> SchemaError:
    for row, values in enumerate(data):
        if type(values) is not list:
            return SchemaError(f"row {row}: expected a list of {width} values, found {shown(values)}")
        if len(values) != width:
            return SchemaError(f"row {row}: expected {width} values, found {len(values)}")
    raise AssertionError("every row is as wide as it should be")


def _tensors(body: bytes, payload: dict[str, Any], form: str, plan: InputPlan, most_rows: int) -> Batch:
    content, names = payload[form], plan.tensor_names
    if form == "inputs" and type(content) is dict:
        order = plan.order_of(list(content), names, "input")
        given = list(content.values())
        tensors, keys = [given[i] for i in order], len(content)
    elif type(content) is list and content and type(content[0]) is dict:
        tensors, keys = columns_of_records(content, names, plan, "input"), len(content) * len(names)
    elif len(names) == 1:
        tensors, keys = [content], 0
    else:
        raise SchemaError(f"`{form}` must name the inputs, since there are {len(names)}: {listed(names)}")
    require_unique_keys(body, len(payload) + keys)
    if type(tensors[0]) is not list:
        raise SchemaError(f"input `{names[0]}`: expected a list with one value a row, found {shown(tensors[0])}")
    rows = len(tensors[0])
    require_rows(rows, most_rows)
    flat = [flat_values(v, (rows, *spec.shape), spec.name) for spec, v in zip(plan.inputs, tensors, strict=True)]
    return plan.from_tensors(flat, rows)
