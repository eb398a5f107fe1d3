"""A model's whole configuration: the sections of every component in one file, checked together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic.json_schema import models_json_schema

from components.data.config import DataSection
from components.errors import ConfigError, UnknownNameError
from components.evaluation.gates.config import GatesSection
from components.evaluation.record.config import EvaluationSection
from components.features.config import FeaturesSection
from components.monitoring.config import MonitoringSection
from components.stage.config import CONFIG_DIR, Section, check_section, config_path, nearest, read_yaml
from components.training.core.config import SECTIONS, TrainingSection
from components.training.core.runner import PREDICTION, RunnerSection
from pipelines.retraining.config import RetrainingSection

NAME = re.compile(r"^[a-z][a-z0-9_]*(-[a-z0-9_]+)*$")


class ModelSection(Section):
    """What one model is made of."""

    data: DataSection
    """Where its rows come from, and which column is the label."""
    features: FeaturesSection
    """How rows are split and turned into numbers."""
    evaluation: EvaluationSection
    """What is measured."""
    gates: GatesSection
    """What a version must reach; read by the flow, never by a stage."""
    monitoring: MonitoringSection = MonitoringSection()
    """What is looked at in its traffic; read by the monitoring flow."""
    runner: RunnerSection = RunnerSection()
    """Where its trainings and batch predictions run; not among what a training is made from."""
    retraining: RetrainingSection | None = None
    """When an alarm of monitoring starts a training; off where it is left out."""


@dataclass(frozen=True)
class ModelConfig:
    """A checked configuration file."""

    name: str
    path: Path
    model: ModelSection
    trainings: Mapping[str, TrainingSection]

    def select(self, only: tuple[str, ...]) -> dict[str, TrainingSection]:
        """Return the trainings named by `only`, by full name, short name or kind; all when it is empty.

        Raises:
            UnknownNameError: a name fits no training.
        """
        if not only:
            return dict(self.trainings)
        chosen: dict[str, TrainingSection] = {}
        for word in only:
            found = {
                name: training
                for name, training in self.trainings.items()
                if word in (name, name.removeprefix(f"{self.name}-"), training.kind)
            }
            if not found:
                known = sorted(self.trainings)
                raise UnknownNameError(
                    f"{self.name} has no training `{word}`{nearest(word, known)}; there are: {', '.join(known)}"
                )
            chosen.update(found)
        return {name: chosen[name] for name in self.trainings if name in chosen}


def model_names(root: Path = Path()) -> list[str]:
    """Return the names of all configured models."""
    return sorted(path.stem for path in (root / CONFIG_DIR).glob("*.yaml"))


def load_model(name: str, root: Path = Path()) -> ModelConfig:
    """Return a model's checked configuration.

    Raises:
        UnknownNameError: there is no such model.
        ConfigError: something in its file is wrong.
    """
    known = model_names(root)
    if name not in known:
        raise UnknownNameError(f"no model `{name}`{nearest(name, known)}; there are: {', '.join(known) or 'none'}")
    path = config_path(name, root)
    return check_model(name, path, read_yaml(path))


def check_model(name: str, path: Path, content: Mapping[str, Any]) -> ModelConfig:
    """Return `content` as the configuration of model `name`.

    Raises:
        ConfigError: something in it is wrong.
    """
    if not NAME.match(name):
        raise ConfigError(f"{path}: the model name `{name}` may hold lower-case letters, digits, `_` and `-` only")
    _check_top_level(name, path, content)
    model = check_section(content["models"][name], ModelSection, path, f"models.{name}")
    trainings = {key: _training(path, key, value) for key, value in content["trainings"].items()}
    for key, training in trainings.items():
        where = f"{path}: key `trainings.{key}`"
        if not NAME.match(key):
            raise ConfigError(f"{where}: a name may hold lower-case letters, digits, `_` and `-` only")
        if training.model != name:
            raise ConfigError(f"{where}: model is `{training.model}`, but this file holds `{name}`")
        if not key.startswith(f"{name}-"):
            raise ConfigError(f"{where}: must begin with `{name}-`, so that no two models share a training's name")
    _check_runner(path, name, model.runner, [*trainings, PREDICTION])
    return ModelConfig(name, path, model, trainings)


def _check_runner(path: Path, name: str, runner: RunnerSection, known: list[str]) -> None:
    for key, names in (("only", runner.only), ("resources", runner.resources)):
        for word in names:
            if word not in known:
                raise ConfigError(
                    f"{path}: key `models.{name}.runner.{key}`: no training `{word}`{nearest(word, known)}; "
                    f"known here: {', '.join(known)}"
                )


def _training(path: Path, key: str, content: Any) -> TrainingSection:
    kind = content.get("kind") if isinstance(content, dict) else None
    return check_section(content, SECTIONS.get(str(kind), TrainingSection), path, f"trainings.{key}")


def configuration_schema() -> dict[str, Any]:
    """Return the JSON schema of a configuration file."""
    sections: list[type[Section]] = [ModelSection, TrainingSection, *SECTIONS.values()]
    definitions = models_json_schema([(each, "validation") for each in sections])[1]["$defs"]
    trainings = [{"$ref": f"#/$defs/{each.__name__}"} for each in sections[1:]]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "required": ["models", "trainings"],
        "additionalProperties": False,
        "properties": {
            "models": {"type": "object", "additionalProperties": {"$ref": "#/$defs/ModelSection"}},
            "trainings": {"type": "object", "additionalProperties": {"anyOf": trainings}},
        },
        "$defs": definitions,
    }


def _check_top_level(name: str, path: Path, content: Mapping[str, Any]) -> None:
    known = ("models", "trainings")
    for key in content:
        if key not in known:
            raise ConfigError(f"{path}: unknown key `{key}`{nearest(key, known)}; known here: {', '.join(known)}")
    for key in known:
        if not isinstance(content.get(key), dict) or not content[key]:
            raise ConfigError(f"{path}: key `{key}` must be a mapping with at least one entry")
    if list(content["models"]) != [name]:
        raise ConfigError(f"{path}: `models` must hold exactly `{name}`, the name of the file")
