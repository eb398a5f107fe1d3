"""`--set key=value`: an edit of a model's YAML that keeps its comments, checked before it is written."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml import YAML

from components.errors import BadInputError, UnknownNameError
from components.stage.config import config_path, nearest
from components.stage.files import write_text
from pipelines.config import check_model, load_model


@dataclass(frozen=True)
class Edit:
    """One changed value."""

    key: str
    before: Any
    after: Any


def edit_configuration(
    model: str, assignments: tuple[str, ...], root: Path = Path(), *, dry: bool = False
) -> list[Edit]:
    """Write assignments such as ``taxi-keras.epochs=5`` or ``features.class_weights=balanced`` into a model's YAML.

    Args:
        model: The model whose file is edited.
        assignments: A key that begins with a training's name or with a section of the model; the value as YAML.
        root: The project.
        dry: Check, but do not write.

    Raises:
        BadInputError: an assignment has no `=`, names nothing, or its value is wrong; the file is as it was.
    """
    load_model(model, root)
    path = config_path(model, root)
    parser = YAML()
    parser.preserve_quotes = True
    parser.width = 4096
    document = parser.load(path.read_text(encoding="utf-8"))
    edits = [_assign(document, model, assignment) for assignment in assignments]
    buffer = io.StringIO()
    parser.dump(document, buffer)
    check_model(model, path, yaml.safe_load(buffer.getvalue()))
    if not dry:
        write_text(path, buffer.getvalue())
    return edits


def _assign(document: Any, model: str, assignment: str) -> Edit:
    key, equals, text = assignment.partition("=")
    if not equals:
        raise BadInputError(f"--set {assignment} has no `=`; write for example --set {model}-keras.epochs=5")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadInputError(f"--set {assignment}: the value is no YAML: {' '.join(str(error).split())}") from error
    *path, last = _full_path(document, model, key)
    target = document
    for part in path:
        target = target.setdefault(part, {})
        if not isinstance(target, dict):
            raise BadInputError(f"--set {assignment}: `{part}` holds a value, not further keys")
    edit = Edit(".".join([*path, last]), target.get(last), value)
    target[last] = value
    return edit


def _full_path(document: Any, model: str, key: str) -> list[str]:
    first, *rest = key.split(".")
    if first in ("models", "trainings"):
        parts = [first, *rest]
    elif first in document["trainings"]:
        parts = ["trainings", first, *rest]
    elif f"{model}-{first}" in document["trainings"]:
        parts = ["trainings", f"{model}-{first}", *rest]
    elif first in document["models"][model]:
        parts = ["models", model, first, *rest]
    else:
        known = [*document["trainings"], *document["models"][model]]
        raise UnknownNameError(
            f"--set {key}: no training or section `{first}`{nearest(first, known)}; there are: {', '.join(known)}"
        )
    if len(parts) < 3:
        raise BadInputError(f"--set {key} names no value; write for example --set {model}-keras.epochs=5")
    return parts
