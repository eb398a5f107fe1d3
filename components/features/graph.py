"""Build the preprocessing as one ONNX graph from fitted statistics. Knows no table.

onnxruntime pays for every node, whatever is in it. So columns of one type are laid end to end by one node, all numbers
are scaled by one vectorised node, and all categories become features by one comparison, however many columns there are.
Inside the graph a block has the shape (features, rows), and is turned over at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from components.features.selection import ImageColumns, Selection
from components.features.statistics import Fitted, FittedCategory, FittedNumber
from components.types.dataset import MISSING_STRING, ColumnType
from components.types.product import InputSpec

OPSET, ML_OPSET, IR_VERSION = 18, 4, 10
FEATURES = "features"
_ROWS = "rows"
_NO_CATEGORY = -1
_NUMBER_TYPES = (ColumnType.FLOAT64, ColumnType.INT64, ColumnType.BOOL)
_ELEMENT_TYPES = {
    ColumnType.FLOAT64: TensorProto.DOUBLE,
    ColumnType.INT64: TensorProto.INT64,
    ColumnType.BOOL: TensorProto.BOOL,
    ColumnType.STRING: TensorProto.STRING,
}


@dataclass(frozen=True)
class Preprocessing:
    """The graph, what it takes, and what its features mean."""

    model: Any
    """An `onnx.ModelProto`."""
    inputs: tuple[InputSpec, ...]
    feature_names: tuple[str, ...]


@dataclass
class _Builder:
    """Nodes and constants under a prefix that no column's name begins with."""

    prefix: str
    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)

    def node(self, operator: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """Add a node, and return the name of its output."""
        output = name if name == FEATURES else self.prefix + name
        self.nodes.append(helper.make_node(operator, inputs, [output], self.prefix + name, **attributes))
        return output

    def constant(self, value: Any, name: str) -> str:
        """Add a constant, and return its name."""
        self.constants.append(numpy_helper.from_array(np.asarray(value), self.prefix + name))
        return self.prefix + name


def build_graph(selection: Selection, fitted: Fitted) -> Preprocessing:
    """Return the graph from the inputs to ``features``, float32 of shape (n_rows, n_features)."""
    chosen = [each.column for each in fitted.numbers] + [each.column for each in fitted.categories]
    kept = {each.name: each.input for each in chosen}
    plain = tuple(kept[each.name] for each in selection.columns if each.name in kept)
    inputs = (*plain, *(each.input for each in selection.images))
    builder = _Builder(_free_prefix([each.name for each in inputs]))
    blocks: list[str] = []
    names: list[str] = []
    if fitted.numbers:
        _add_numbers(builder, fitted.numbers, blocks, names)
    if fitted.categories:
        _add_categories(builder, fitted.categories, blocks, names)
    parts = []
    if blocks:
        block = builder.node("Concat", blocks, "blocks", axis=0) if len(blocks) > 1 else blocks[0]
        parts.append(builder.node("Transpose", [block], "table" if selection.images else FEATURES, perm=[1, 0]))
    for index, image in enumerate(selection.images):
        only = not parts and len(selection.images) == 1
        parts.append(_add_image(builder, image, FEATURES if only else f"image{index}", names))
    if len(parts) > 1:
        builder.node("Concat", parts, FEATURES, axis=1)
    return Preprocessing(_model(builder, inputs, len(names)), inputs, tuple(names))


def in_feature_order(numbers: Sequence[FittedNumber]) -> list[FittedNumber]:
    """Return the numbers in the order of their features: those of one type of input side by side."""
    return sorted(numbers, key=lambda each: _NUMBER_TYPES.index(each.column.input.type))


def _add_numbers(builder: _Builder, numbers: Sequence[FittedNumber], blocks: list[str], names: list[str]) -> None:
    by_type = [[each for each in numbers if each.column.input.type is kind] for kind in _NUMBER_TYPES]
    ordered = in_feature_order(numbers)
    lines = []
    for group in filter(None, by_type):
        kind = group[0].column.input.type
        line = builder.node("Concat", [each.column.name for each in group], kind.value, axis=0)
        if kind is not ColumnType.FLOAT64:
            line = builder.node("Cast", [line], f"{kind.value}_wide", to=TensorProto.DOUBLE)
        lines.append(line)
    line = builder.node("Concat", lines, "numbers", axis=0) if len(lines) > 1 else lines[0]
    shape = builder.constant(np.array([len(ordered), -1], np.int64), "numbers_shape")
    values = builder.node("Reshape", [line, shape], "stacked")
    marked = [row for row, each in enumerate(ordered) if each.marks_missing]
    if any(each.column.nullable for each in ordered):
        missing = builder.node("IsNaN", [values], "missing")
        impute = builder.constant(_column(each.impute for each in ordered), "impute")
        values = builder.node("Where", [missing, impute, values], "imputed")
    if any(each.mean != 0 for each in ordered):
        values = builder.node("Sub", [values, builder.constant(_column(x.mean for x in ordered), "mean")], "centred")
    if any(each.scale != 1 for each in ordered):
        values = builder.node("Div", [values, builder.constant(_column(x.scale for x in ordered), "scale")], "scaled")
    blocks.append(builder.node("Cast", [values], "numeric", to=TensorProto.FLOAT))
    names.extend(each.column.name for each in ordered)
    if marked:
        if len(marked) < len(ordered):
            missing = builder.node("Gather", [missing, builder.constant(np.array(marked), "marked")], "gaps", axis=0)
        blocks.append(builder.node("Cast", [missing], "indicators", to=TensorProto.FLOAT))
        names.extend(f"{ordered[row].column.name} is missing" for row in marked)


def _add_categories(
    builder: _Builder, categories: Sequence[FittedCategory], blocks: list[str], names: list[str]
) -> None:
    """Give each column's values numbers from 0, and compare: a feature is 1 where the number is its own."""
    encoded = []
    column_of: list[int] = []
    number_of: list[int] = []
    for index, each in enumerate(categories):
        labels: list[tuple[Any, str]] = [(value, f"{each.column.name}={value}") for value in each.values]
        if each.marks_missing:
            gap = MISSING_STRING if each.column.input.type is ColumnType.STRING else float("nan")
            labels.append((gap, f"{each.column.name} is missing"))
        other = len(labels) if each.has_other else _NO_CATEGORY
        encoded.append(_add_encoder(builder, each, [key for key, _ in labels], other, f"codes{index}"))
        names.extend(name for _, name in labels)
        if each.has_other:
            names.append(f"{each.column.name}=<other>")
        width = len(labels) + each.has_other
        column_of.extend([index] * width)
        number_of.extend(range(width))
    line = builder.node("Concat", encoded, "codes", axis=0)
    shape = builder.constant(np.array([len(categories), -1], np.int64), "codes_shape")
    codes = builder.node("Reshape", [line, shape], "coded")
    if len(categories) > 1:
        codes = builder.node("Gather", [codes, builder.constant(np.array(column_of), "column")], "spread", axis=0)
    numbers = builder.constant(np.array(number_of, np.int64)[:, None], "number")
    equal = builder.node("Equal", [codes, numbers], "matches")
    blocks.append(builder.node("Cast", [equal], "categorical", to=TensorProto.FLOAT))


def _add_encoder(builder: _Builder, category: FittedCategory, keys: list[Any], other: int, name: str) -> str:
    spec = category.column.input
    dtype: Any = {ColumnType.STRING: np.object_, ColumnType.INT64: np.int64}.get(spec.type, np.float64)
    values = np.arange(len(keys), dtype=np.int64)
    if not keys:  # all values are rare: the encoder wants a key all the same, and gives it the number of the others
        keys, values = [MISSING_STRING if spec.type is ColumnType.STRING else 0], np.array([other], np.int64)
    return builder.node(
        "LabelEncoder",
        [spec.name],
        name,
        domain="ai.onnx.ml",
        keys_tensor=numpy_helper.from_array(np.array(keys, dtype), "keys"),
        values_tensor=numpy_helper.from_array(values, "values"),
        default_tensor=numpy_helper.from_array(np.array([other], np.int64), "default"),
    )


def _add_image(builder: _Builder, image: ImageColumns, name: str, names: list[str]) -> str:
    spec = image.input
    pixels, tag = spec.name, name if name != FEATURES else "image"
    if spec.type is not ColumnType.FLOAT64:
        pixels = builder.node("Cast", [pixels], f"{tag}_wide", to=TensorProto.DOUBLE)
    if image.scale != 1:
        pixels = builder.node("Div", [pixels, builder.constant(np.float64(image.scale), f"{tag}_scale")], f"{tag}_unit")
    pixels = builder.node("Cast", [pixels], f"{tag}_pixels", to=TensorProto.FLOAT)
    names.extend(f"{spec.name}[{','.join(map(str, at))}]" for at in product(*map(range, spec.shape)))
    shape = builder.constant(np.array([-1, prod(spec.shape)], np.int64), f"{tag}_shape")
    return builder.node("Reshape", [pixels, shape], name)


def _model(builder: _Builder, inputs: Sequence[InputSpec], n_features: int) -> Any:
    graph = helper.make_graph(
        builder.nodes,
        "preprocessing",
        [helper.make_tensor_value_info(x.name, _ELEMENT_TYPES[x.type], [_ROWS, *x.shape]) for x in inputs],
        [helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, [_ROWS, n_features])],
        builder.constants,
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="towpath")
    onnx.checker.check_model(model, full_check=True)
    return model


def _column(values: Any) -> Any:
    return np.array(list(values), np.float64)[:, None]


def _free_prefix(names: Sequence[str]) -> str:
    prefix = "prepare/"
    while any(name.startswith(prefix) for name in names):
        prefix = "_" + prefix
    return prefix
