"""Write an estimator of scikit-learn as an ONNX graph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from skl2onnx import to_onnx
from skl2onnx.common._registration import get_converter, register_converter
from skl2onnx.common.data_types import FloatTensorType

from components.training.core.object_file import read_object
from components.training.sklearn_trainer import PACKAGES
from components.types.training import TrainingTask

OPSET = {"": 21, "ai.onnx.ml": 3}


def export(task: TrainingTask, native: tuple[Path, ...], network: Path) -> None:
    """Write the network of the estimator in `native`: ``probabilities`` for classes, else ``value``."""
    _mend_histogram_trees()
    estimator = read_object(native[0], PACKAGES)
    inputs = [("features", FloatTensorType([None, task.spec.n_features]))]
    options = {id(estimator): {"zipmap": False}} if task.spec.classes else None
    model = to_onnx(estimator, initial_types=inputs, options=options, target_opset=OPSET)
    if task.spec.classes:
        _rename_output(model, 1, "probabilities")
        del model.graph.output[0]  # the label: the product makes its own from the probabilities
    else:
        _rename_output(model, 0, "value")
    network.write_bytes(model.SerializeToString(deterministic=True))


def _mend_histogram_trees() -> None:
    """Make histogram trees exportable: skl2onnx 1.20 mixes booleans into their integers, which onnx 1.23 refuses."""
    for name in ("SklearnHistGradientBoostingClassifier", "SklearnHistGradientBoostingRegressor"):
        original = get_converter(name)
        register_converter(name, _with_integers(original), overwrite=True, options=original.get_allowed_options())


def _with_integers(original: Any) -> Callable[[Any, Any, Any], None]:
    def convert(scope: Any, operator: Any, container: Any) -> None:
        original(scope, operator, _IntegerFlags(container))

    return convert


class _IntegerFlags:
    """A container of nodes that takes truth values as 0 and 1, and is otherwise the one it wraps."""

    def __init__(self, container: Any) -> None:
        self._container = container

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def add_node(self, *arguments: Any, nodes_missing_value_tracks_true: Any = (), **attributes: Any) -> None:
        if len(nodes_missing_value_tracks_true):
            attributes["nodes_missing_value_tracks_true"] = [int(flag) for flag in nodes_missing_value_tracks_true]
        self._container.add_node(*arguments, **attributes)


def _rename_output(model: Any, index: int, name: str) -> None:
    old, model.graph.output[index].name = model.graph.output[index].name, name
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [name if each == old else each for each in names]
