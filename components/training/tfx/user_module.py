"""Which functions the pipeline calls: ours, or those of an architecture that is a TFX module. Knows no TFX.

An architecture ``components/models/tfx/<name>.py`` has ``build(task)`` as everywhere, or is a TFX module of the user's
own: its ``preprocessing_fn`` and ``tuner_fn`` replace ours, each for itself, our ``run_fn`` calls its ``run_fn``, and
its ``SCHEMA`` (the text of a ``schema.pbtxt``) is the schema where the training says ``schema_from: architecture``.
"""

from __future__ import annotations

import importlib
import traceback
from dataclasses import dataclass
from types import ModuleType

from components.errors import ConfigError
from components.training.core.architecture import architecture_path
from components.types.training import TrainingTask

PREPROCESSING_FN = "preprocessing_fn"
TUNER_FN = "tuner_fn"
SCHEMA = "SCHEMA"

_OURS = {
    PREPROCESSING_FN: "components.training.tfx.preprocessing.preprocessing_fn",
    TUNER_FN: "components.training.tfx.tuner.tuner_fn",
}


@dataclass(frozen=True)
class Functions:
    """The import paths of what the components call; never files, which TFX would package with pip."""

    preprocessing_fn: str
    tuner_fn: str
    schema: str | None
    """The text of the user's own schema."""

    @property
    def own_preprocessing(self) -> bool:
        """Whether the user's own code makes the features."""
        return self.preprocessing_fn != _OURS[PREPROCESSING_FN]


def find_functions(task: TrainingTask) -> Functions:
    """Return what the pipeline of a task calls.

    Raises:
        ConfigError: the architecture cannot be imported, or its schema is no text.
    """
    module = _import(task)
    paths = {name: f"{module.__name__}.{name}" if hasattr(module, name) else ours for name, ours in _OURS.items()}
    schema = getattr(module, SCHEMA, None)
    if schema is not None and not isinstance(schema, str):
        where = architecture_path(task.kind, task.architecture)
        raise ConfigError(f"{where}: {SCHEMA} is {type(schema).__name__}, expected the text of a schema.pbtxt")
    return Functions(paths[PREPROCESSING_FN], paths[TUNER_FN], schema)


def _import(task: TrainingTask) -> ModuleType:
    try:
        return importlib.import_module(f"components.models.{task.kind}.{task.architecture}")
    except Exception as error:
        traceback.print_exc()
        words = " ".join(str(error).split())[:300]
        raise ConfigError(
            f"{architecture_path(task.kind, task.architecture)} cannot be imported: {type(error).__name__}: {words}"
        ) from error
