"""An estimator of scikit-learn as files: skops instead of pickle, the same bytes each time, and an ONNX graph."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import skops.io

from components.errors import TrainingError
from components.types.training import TrainingTask

OPSET = {"": 21, "ai.onnx.ml": 3}
_TRUSTED_PACKAGES = ("sklearn.", "numpy.", "scipy.")
_SCHEMA = "schema.json"
_ADDRESS = re.compile(r'(?<="__id__": )\d+|(?<=")\d+(?=\.npy")|(?<=")\d+(?=\.npz")')


def export(task: TrainingTask, native: tuple[Path, ...], network: Path) -> None:
    """Write the network of the estimator in `native`: ``probabilities`` for classes, else ``value``."""
    from skl2onnx import to_onnx  # the fitting process reads and writes estimators, and does without
    from skl2onnx.common.data_types import FloatTensorType

    estimator = read_estimator(native[0])
    inputs = [("features", FloatTensorType([None, task.spec.n_features]))]
    options = {id(estimator): {"zipmap": False}} if task.spec.classes else None
    model = to_onnx(estimator, initial_types=inputs, options=options, target_opset=OPSET)
    if task.spec.classes:
        _rename_output(model, 1, "probabilities")
        del model.graph.output[0]  # the label: the product makes its own from the probabilities
    else:
        _rename_output(model, 0, "value")
    network.write_bytes(model.SerializeToString(deterministic=True))


def _rename_output(model: Any, index: int, name: str) -> None:
    old, model.graph.output[index].name = model.graph.output[index].name, name
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [name if each == old else each for each in names]


def write_estimator(estimator: Any, path: Path) -> None:
    """Write an estimator.

    skops numbers what it stores by memory addresses and stamps its archive with the time; both are replaced.
    """
    numbers: dict[str, str] = {}

    def stable(address: str) -> str:
        return numbers.setdefault(address, str(len(numbers)))

    with (
        zipfile.ZipFile(io.BytesIO(skops.io.dumps(estimator))) as source,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        schema = _ADDRESS.sub(lambda match: stable(match[0]), source.read(_SCHEMA).decode())
        target.writestr(zipfile.ZipInfo(_SCHEMA), schema)
        members = [name for name in source.namelist() if name != _SCHEMA]
        for name in sorted(members, key=lambda each: int(stable(Path(each).stem))):
            entry = zipfile.ZipInfo(f"{stable(Path(name).stem)}{Path(name).suffix}")
            entry.compress_type = zipfile.ZIP_DEFLATED
            target.writestr(entry, source.read(name))


def read_estimator(path: Path) -> Any:
    """Return the estimator that `write_estimator` wrote.

    Raises:
        TrainingError: the file holds types that are not scikit-learn's own, or is damaged.
    """
    try:
        unknown = skops.io.get_untrusted_types(file=path)
        if strangers := [name for name in unknown if not name.startswith(_TRUSTED_PACKAGES)]:
            raise TrainingError(f"{path} holds {strangers[0]}, which is no type of scikit-learn; train again")
        return skops.io.load(path, trusted=unknown)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise TrainingError(f"{path} cannot be read: {error}; delete it and train again") from error
