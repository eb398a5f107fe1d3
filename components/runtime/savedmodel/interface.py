"""Compare what is in a SavedModel with a product's signature. Knows no process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.errors import ConfigError, FaultError
from components.runtime.protocol import PREDICTION, PROBABILITIES
from components.runtime.savedmodel.names import input_keys
from components.types.product import Signature

_CLASSES: Mapping[type, str] = {str: "string", int: "int64", bool: "bool"}


def check_interface(described: Mapping[str, Any], signature: Signature, where: Path) -> None:
    """Check that a SavedModel takes and gives what its product's signature says, any number of rows of it.

    Args:
        described: ``inputs`` and ``outputs``, each a type and a shape by name.
        signature: The product's.
        where: The product's folder, for messages.

    Raises:
        FaultError: it does not.
    """
    try:
        keys = input_keys(spec.name for spec in signature.inputs)
    except ConfigError as error:
        raise FaultError(f"{where}: {error}") from error
    inputs = {keys[spec.name]: [spec.type.value, [-1, *spec.shape]] for spec in signature.inputs}
    for word, expected in (("inputs", inputs), ("outputs", _outputs(signature))):
        found = described[word]
        if wrong := sorted(name for name in {*expected, *found} if expected.get(name) != found.get(name)):
            name = wrong[0]
            raise FaultError(
                f"{where}: the SavedModel's {word} are not those of its signature: `{name}` is "
                f"{_words(found.get(name))} in the SavedModel and {_words(expected.get(name))} in the signature; "
                "train again"
            )


def _outputs(signature: Signature) -> dict[str, list[Any]]:
    if not signature.task.is_classification:
        return {PREDICTION: ["float64", [-1]]}
    kind = _CLASSES[type(signature.classes[0])]
    return {PREDICTION: [kind, [-1]], PROBABILITIES: ["float32", [-1, len(signature.classes)]]}


def _words(described: list[Any] | None) -> str:
    if described is None:
        return "missing"
    kind, shape = described
    sizes = "any shape" if shape is None else f"({', '.join('rows' if size == -1 else str(size) for size in shape)})"
    return f"{kind} {sizes}"
