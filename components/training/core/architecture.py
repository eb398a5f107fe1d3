"""Find and call the user's function that builds the network. Standard library only; runs in the framework's process."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from components.errors import ConfigError
from components.types.training import Parameter, TrainingTask


def architecture_path(kind: str, architecture: str) -> Path:
    """Return where an architecture's file stands."""
    return Path("components/models") / kind / f"{architecture}.py"


def build(task: TrainingTask) -> Any:
    """Return what the architecture's ``build(task)`` makes.

    Raises:
        ConfigError: the file has no such function.
    """
    module = importlib.import_module(f"components.models.{task.kind}.{task.architecture}")
    function = getattr(module, "build", None)
    if not callable(function):
        raise ConfigError(
            f"{architecture_path(task.kind, task.architecture)} has no function `build(task)`; add one that returns "
            "the untrained network"
        )
    return function(task)


class DeclaredParameters(Mapping[str, Parameter | None]):
    """The parameters of a task; asking for one that was not declared is the author's mistake, and is said so."""

    def __init__(self, values: Mapping[str, Parameter | None], kind: str, architecture: str) -> None:
        """Wrap what the task file holds."""
        self._values = dict(values)
        self._where = f"components/training/{kind}_trainer.py or {architecture_path(kind, architecture)}"

    def __getitem__(self, name: str) -> Parameter | None:
        """Return one parameter.

        Raises:
            ConfigError: neither the trainer nor the architecture declares it.
        """
        if name not in self._values:
            raise ConfigError(f"the key `{name}` is read but not declared: name it in PARAMETERS of {self._where}")
        return self._values[name]

    def __contains__(self, name: object) -> bool:
        """Say whether `name` was declared."""
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        """Go through the names."""
        return iter(self._values)

    def __len__(self) -> int:
        """Count the names."""
        return len(self._values)
