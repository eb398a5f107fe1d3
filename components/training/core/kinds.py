"""Which class trains a kind: one readable table, and one entry-point group for kinds from elsewhere.

Imports no trainer: the table holds names, and only the framework's own process follows them.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from components.errors import ConfigError, MissingExtraError
from components.training.core.environment import require_environment, worker_environment
from components.training.core.environment_choice import environment_file, read_environment
from components.training.core.protocol import Export, Trainer

ENTRY_POINT_GROUP = "towpath.trainers"


@dataclass(frozen=True)
class Kind:
    """Where a kind's trainer is, and what must be installed for it."""

    trainer: str
    """``package.module:Class``."""
    extra: str | None = None
    """The project's extra that installs what it needs."""
    needs: tuple[str, ...] = ()
    """Top-level modules that must be there, in the project's environment."""
    environment: str | None = None
    """The kind whose ``environment.json`` declares the environment that its processes run in; None is the project's."""


KINDS: dict[str, Kind] = {
    "constant": Kind("components.training.constant_trainer:ConstantTrainer"),
    "keras": Kind("components.training.keras_trainer:KerasTrainer", "keras", ("keras", "tensorflow")),
    "lightning": Kind("components.training.lightning_trainer:LightningTrainer", "lightning", ("lightning", "torch")),
    "sklearn": Kind("components.training.sklearn_trainer:SklearnTrainer"),
    # the project's own environment loads what the other one made, and compares it
    "tfx": Kind("components.training.tfx_trainer:TfxTrainer", "keras", ("tensorflow",), environment="tfx"),
}


@dataclass(frozen=True)
class Runner:
    """What a kind's processes are started with."""

    python: Path
    """The interpreter."""
    variables: Mapping[str, str]
    """What they find in their environment besides."""


def trainer_path(kind: str) -> Path:
    """Return the file that every kind has in the project, wherever its class comes from."""
    return Path("components/training") / f"{kind}_trainer.py"


def kind_files(kind: str) -> list[Path]:
    """Return the modules of a kind's folder, which holds what belongs to it beside its trainer."""
    return sorted((Path("components/training") / kind).glob("*.py"))


def known_kinds() -> tuple[str, ...]:
    """Return the names of all kinds, those from entry points included."""
    return tuple(sorted({*KINDS, *(point.name for point in entry_points(group=ENTRY_POINT_GROUP))}))


def find_kind(name: str) -> Kind:
    """Return where a kind's trainer is.

    Raises:
        ConfigError: there is no such kind, or more than one of that name.
    """
    points = [point.value for point in entry_points(group=ENTRY_POINT_GROUP, name=name)]
    own = name if environment_file(name).is_file() else None
    found = [KINDS[name]] if name in KINDS else []
    found += [Kind(value, environment=own) for value in dict.fromkeys(points)]
    if not found:
        matches = difflib.get_close_matches(name, known_kinds(), n=1)
        near = f" (did you mean `{matches[0]}`?)" if matches else ""
        raise ConfigError(f"no trainer of kind `{name}`{near}; there are: {', '.join(known_kinds())}")
    if len(found) > 1:
        raise ConfigError(
            f"kind `{name}` is claimed by {' and '.join(kind.trainer for kind in found)}; uninstall one, or rename its "
            f"entry point in group {ENTRY_POINT_GROUP}"
        )
    return found[0]


def require_installed(name: str, tell: Callable[[str], None]) -> Runner:
    """Check that what a kind needs is there, without importing it; its own environment is installed on first use.

    Args:
        name: The kind.
        tell: Takes a sentence for the person who waits for an installation.

    Returns:
        The interpreter for the kind's processes, and the variables they need besides.

    Raises:
        MissingExtraError: something is not installed, and is not installed by itself.
        ConfigError: there is no such kind, or its environment is not declared as it must be.
        DigestMismatchError: the lock of its environment is not the one that is declared.
        InfrastructureError: its environment could not be installed.
    """
    kind = find_kind(name)
    if missing := [module for module in kind.needs if find_spec(module) is None]:
        raise MissingExtraError.of(f"kind `{name}` needs {' and '.join(missing)}, not installed here", kind.extra)
    if kind.environment is not None:
        return Runner(require_environment(kind.environment, tell), worker_environment(kind.environment))
    return Runner(Path(sys.executable), {})


def load_trainer(name: str) -> Trainer:
    """Return a kind's trainer; for the framework's own process only.

    Raises:
        ConfigError: the class cannot be loaded; a configured plugin that cannot load stops the run.
    """
    value = find_kind(name).trainer
    module, _, attribute = value.partition(":")
    trainer: Trainer = _load(name, module, attribute)()
    return trainer


def load_export(name: str) -> Export:
    """Return a kind's export function; for the framework's own process only.

    Raises:
        ConfigError: it cannot be loaded.
    """
    export: Export = _load(name, f"components.training.{name}.export", "export")
    return export


def _load(kind: str, module: str, attribute: str) -> Any:
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"kind `{kind}` cannot be loaded from {module}:{attribute}: {error}; {_cure(kind)}"
        ) from error


def _cure(kind: str) -> str:
    """Say what to do about a trainer that cannot be imported."""
    environment = find_kind(kind).environment
    if environment is None:
        return f"install what is missing, or choose another kind ({', '.join(known_kinds())})"
    return f"delete {sys.prefix}, which may be damaged, and run `{read_environment(environment).install}`"
