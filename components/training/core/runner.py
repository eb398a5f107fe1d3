"""Where a training runs: on this machine, or elsewhere. Imports no other place; one readable table names them.

``models.<model>.runner`` says where, and ``TOWPATH_RUNNER`` overrules it on one machine. Neither is among what a
training is made from: the same training elsewhere gives the same files, so it is not stale.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol, cast, get_args

from pydantic import Field, model_validator

from components.errors import ConfigError
from components.stage.config import Section, check_section, config_path, nearest, read_yaml
from components.training.core.steps import fit_and_export
from components.types.training import TrainingTask

RunnerKind = Literal["local", "ray"]
RUNNER_VARIABLE = "TOWPATH_RUNNER"
PREDICTION = "prediction"
"""Names batch prediction where trainings are named."""


class Resources(Section):
    """What one training, or one process that predicts, asks of one node."""

    cpus: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Cores; a training's `threads` when left out, and 1 for prediction."""
    gpus: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Accelerators."""
    memory_bytes: int = Field(default=0, ge=0)
    """Memory that the cluster sets aside for it; it may be stopped there for using more only when the node runs out."""


class RunnerSection(Section):
    """Where a model's trainings and batch predictions run: `local` or `ray`, or a mapping that says more."""

    kind: RunnerKind = "local"
    """This machine, or the Ray cluster at ``RAY_ADDRESS``."""
    only: tuple[str, ...] = ()
    """What goes there: names of trainings, and `prediction`; everything when empty. The rest stays on this machine."""
    resources: dict[str, Resources] = Field(default_factory=dict)
    """What each asks of a node, by its name (or `prediction`)."""

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, content: Any) -> Any:
        return {"kind": content} if isinstance(content, str) else content

    @model_validator(mode="after")
    def _used(self) -> RunnerSection:
        if self.kind == "local" and (self.only or self.resources):
            raise ValueError("`only` and `resources` are asked of a cluster; remove them, or set kind: ray")
        return self

    def resources_of(self, name: str) -> Resources:
        """Return what a training, or `prediction`, asks for."""
        return self.resources.get(name, Resources())


class TrainingRunner(Protocol):
    """A place where trainings run; constructed without arguments."""

    def run(self, task: TrainingTask, folder: Path, timeout_s: float, resources: Resources) -> None:
        """Do what `folder`'s task file says, and leave the trainer's files there, as if it had run here.

        Checkpoints come to ``task.checkpoint_dir``, and what is said meanwhile to this process's streams.

        Raises:
            TowpathError: the trainer's own error, or the place's.
        """
        ...


class LocalRunner:
    """Run on this machine."""

    def run(self, task: TrainingTask, folder: Path, timeout_s: float, resources: Resources) -> None:  # noqa: ARG002
        """Do what `folder`'s task file says; the machine's cores are shared as the operating system does.

        Raises:
            TowpathError: the trainer's own error.
        """
        fit_and_export(task, folder, timeout_s)


RUNNERS: Mapping[str, str] = {
    "local": "components.training.core.runner:LocalRunner",
    "ray": "components.training.runners.ray:RayRunner",
}


def read_runner(model: str, root: Path = Path()) -> RunnerSection:
    """Return a model's section about where it runs.

    Raises:
        UnknownNameError: the model has no configuration.
        ConfigError: something in it is wrong.
    """
    path = config_path(model, root)
    models = read_yaml(path).get("models")
    own = models.get(model) if isinstance(models, dict) else None
    content = own.get("runner") if isinstance(own, dict) else None
    return check_section({} if content is None else content, RunnerSection, path, f"models.{model}.runner")


def chosen_kind(section: RunnerSection, name: str) -> RunnerKind:
    """Return where a training, or `prediction`, runs: what this machine's ``TOWPATH_RUNNER`` says, or its section.

    Raises:
        ConfigError: the variable names no place.
    """
    if word := os.environ.get(RUNNER_VARIABLE):
        if word not in RUNNERS:
            raise ConfigError(
                f"{RUNNER_VARIABLE} is `{word}`{nearest(word, RUNNERS)}; there are: {', '.join(get_args(RunnerKind))}"
            )
        return cast("RunnerKind", word)
    return section.kind if not section.only or name in section.only else "local"


def find_runner(kind: str) -> TrainingRunner:
    """Return the runner of a kind; only this one is imported."""
    module, _, attribute = RUNNERS[kind].partition(":")
    runner: TrainingRunner = getattr(importlib.import_module(module), attribute)()
    return runner
