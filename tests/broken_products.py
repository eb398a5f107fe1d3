"""Products that load and answer an empty row, and break on real ones: for rehearsing bad releases. Trains nothing.

All are ``prediction = x + offset`` until ``x`` is above `FROM`; then each breaks in its own way, so that a release can
also be bad for some requests only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from bench.products import plain_input, write_product
from components.types.dataset import Task
from components.types.product import ProductRef, Signature

FROM = 1.0


def raising_product(folder: Path, offset: float = 0.0, above: float = FROM) -> ProductRef:
    """Make a product that fails above a value: it looks up a place that a table of one does not have."""
    nodes = [
        *_is_above("index", TensorProto.INT64),
        helper.make_node("Mul", ["index", "far"], ["place"]),
        helper.make_node("Gather", ["table", "place"], ["nothing"]),
        *_sum("nothing"),
    ]
    return _write(folder, nodes, offset, above, far=np.array(10**6, np.int64), table=np.zeros(1))


def invalid_product(folder: Path, offset: float = 0.0, above: float = FROM) -> ProductRef:
    """Make a product whose prediction is no number above a value."""
    nodes = [
        *_is_above("is_above", TensorProto.BOOL),
        helper.make_node("Where", ["is_above", "nan", "zero"], ["nothing"]),
        *_sum("nothing"),
    ]
    return _write(folder, nodes, offset, above, nan=np.array(np.nan), zero=np.array(0.0))


def slow_above_product(folder: Path, offset: float = 0.0, above: float = FROM, turns: int = 20_000) -> ProductRef:
    """Make a product that burns time above a value: right, and some ten milliseconds late."""
    return _looping(folder, offset, above, turns)


def hanging_product(folder: Path, offset: float = 0.0, above: float = FROM) -> ProductRef:
    """Make a product that does not come back above a value, until somebody stops it."""
    return _looping(folder, offset, above, 10**12)


def renamed_product(folder: Path, offset: float = 0.0) -> ProductRef:
    """Make a product that asks for ``y`` where the others ask for ``x``: it breaks the API contract."""
    nodes = [helper.make_node("Add", ["y", "offset"], ["prediction"])]
    signature = Signature(Task.REGRESSION, (plain_input("y"),), ())
    return write_product(folder, signature, nodes, {"offset": np.array(offset)})


def _looping(folder: Path, offset: float, above: float, turns: int) -> ProductRef:
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_on"], ["go_on_out"]),
            helper.make_node("Sin", ["value"], ["value_out"]),
        ],
        "turn",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", TensorProto.DOUBLE, []),
        ],
        [
            helper.make_tensor_value_info("go_on_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value_out", TensorProto.DOUBLE, []),
        ],
    )
    nodes = [
        *_is_above("rows_above", TensorProto.INT64),
        helper.make_node("ReduceMax", ["rows_above"], ["any_above"], keepdims=0),
        helper.make_node("Mul", ["any_above", "turns"], ["turns_now"]),
        helper.make_node("Loop", ["turns_now", "true", "zero"], ["burnt"], body=body),
        helper.make_node("Mul", ["burnt", "zero"], ["nothing"]),
        *_sum("nothing"),
    ]
    weights = {"turns": np.array(turns, np.int64), "true": np.array(True), "zero": np.array(0.0)}
    return _write(folder, nodes, offset, above, **weights)


def _is_above(name: str, kind: int) -> list[Any]:
    return [
        helper.make_node("Greater", ["x", "above"], [f"{name}_as_bool"]),
        helper.make_node("Cast", [f"{name}_as_bool"], [name], to=kind),
    ]


def _sum(nothing: str) -> list[Any]:
    return [
        helper.make_node("Add", ["x", "offset"], ["sum"]),
        helper.make_node("Add", ["sum", nothing], ["prediction"]),
    ]


def _write(folder: Path, nodes: list[Any], offset: float, above: float, **weights: Any) -> ProductRef:
    signature = Signature(Task.REGRESSION, (plain_input("x"),), ())
    return write_product(folder, signature, nodes, {"offset": np.array(offset), "above": np.array(above), **weights})


BREAKS = {
    "raises": raising_product,
    "gives nonsense": invalid_product,
    "is slow": slow_above_product,
    "hangs": hanging_product,
    "asks for another column": renamed_product,
}
"""How a product may break, by name."""
