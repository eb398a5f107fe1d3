"""The keys of a training's section (``trainings.<name>``). Knows the names of the kinds, and imports none of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from components.errors import ConfigError
from components.stage.config import Section, config_path, read_section, read_yaml
from components.training.core.architecture import architecture_path
from components.training.core.declared import OPTION_PREFIX, declared_parameters, defines, resolve_parameters
from components.training.core.kinds import find_kind, trainer_path
from components.types.training import Parameter

Scalar = bool | int | float | str
STAGE_KEYS = ("seed", "threads", "timeout_s", "parity_bound", "checkpoint_every_s")
"""Keys that every training uses, whatever its kind."""
NETWORK_KEYS = frozenset({"batch_size", "epochs", "learning_rate", "patience", "weight_decay"})
"""Keys of a training by the kind's own hand; an architecture with a `RUN_FN` trains by its own."""
RUN_FN = "run_fn"
IDENTITY_KEYS = ("model", "kind", "architecture", "options")


class TrainingSection(Section):
    """One training: a kind of trainer, an architecture, and their parameters.

    A key that the kind and the architecture do not use is refused when it is set.
    """

    model: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    """The model it trains; its data are prepared under ``out/<model>/prepared``."""
    kind: str = Field(pattern=r"^[A-Za-z0-9_]+$")
    """The framework: constant, sklearn, keras, lightning, or a kind found by its entry point."""
    architecture: str = Field(pattern=r"^[A-Za-z0-9_]+$")
    """The file ``components/models/<kind>/<architecture>.py`` that builds the network."""
    epochs: int = Field(default=20, ge=1)
    """How often the train split is gone through, at most."""
    batch_size: int = Field(default=256, ge=1)
    """How many rows make one step of the optimiser."""
    learning_rate: float = Field(default=1e-3, gt=0, allow_inf_nan=False)
    """How far a step goes."""
    hidden: tuple[int, ...] = (64, 32)
    """The widths of the hidden layers."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """The share of a hidden layer's outputs that training leaves out."""
    weight_decay: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """How strongly large weights are held down."""
    patience: int | None = Field(default=10, ge=1)
    """How many epochs without a better validation loss end the training; null for never. The best epoch is kept."""
    seed: int = Field(default=1, ge=0, lt=2**32)
    """Where every random choice starts: the same seed gives the same metric on the same machine."""
    threads: int = Field(default=1, ge=1)
    """How many cores the framework may use."""
    device: Literal["auto", "cpu"] = "auto"
    """Where it computes: on an accelerator where the framework finds one, or never."""
    timeout_s: float = Field(default=3600.0, gt=0, allow_inf_nan=False)
    """After how many seconds the training is stopped; a checkpoint stays, and the next run goes on from it."""
    checkpoint_every_s: float = Field(default=10.0, ge=0, allow_inf_nan=False)
    """How many seconds of work a kill may cost; 0 stores the state after every epoch."""
    parity_bound: float = Field(default=1e-4, gt=0, allow_inf_nan=False)
    """The largest difference allowed between the product and the framework: in probabilities, or in the target's
    standard deviations."""
    options: dict[str, Scalar] = Field(default_factory=dict)
    """Parameters of the architecture's own, which it names in ``PARAMETERS`` as ``options.<name>``."""


class KerasSection(TrainingSection):
    """One training in Keras."""

    kind: Literal["keras"]
    """The framework."""
    backend: Literal["tensorflow", "jax", "torch"] = "tensorflow"
    """What Keras computes with."""


class TfxSection(TrainingSection):
    """One training by a TFX pipeline."""

    kind: Literal["tfx"]
    """The framework."""
    schema_from: Literal["curated", "infer", "architecture"] = "curated"
    """Where the schema comes from: from the prepared inputs and classes, from the statistics of the train split, or
    from the text ``SCHEMA`` in the architecture's file. Data that do not meet it stop the training."""
    slices: tuple[str, ...] = ()
    """Raw columns; the Evaluator looks at the rows of each of their values by themselves."""
    thresholds: tuple[str, ...] = ()
    """Bounds that the Evaluator holds the model to on the validation split: ``auc >= 0.8`` on all rows,
    ``accuracy >= 0.7 by city`` on every value of a column."""
    trials: int = Field(default=0, ge=0)
    """How many sets of hyper-parameters the Tuner tries before the training; 0 for no Tuner."""
    beam: tuple[Annotated[str, Field(pattern=r"^--\S")], ...] = ()
    """Pipeline arguments of Apache Beam, for example ``--runner=FlinkRunner``; in this process if there are none."""


SECTIONS: dict[str, type[TrainingSection]] = {"keras": KerasSection, "tfx": TfxSection}
"""Kinds that have keys of their own; all others take `TrainingSection`."""


def read_training(model: str, training: str, root: Path = Path()) -> TrainingSection:
    """Return the section of one training of a model, checked.

    Raises:
        UnknownNameError: the model has no configuration.
        ConfigError: the training is missing, is another model's, or something in it is wrong.
    """
    path, key = config_path(model, root), f"trainings.{training}"
    trainings = read_yaml(path).get("trainings") or {}
    content = trainings.get(training) if isinstance(trainings, dict) else None
    kind = content.get("kind") if isinstance(content, dict) else None
    section = read_section(path, key, SECTIONS.get(str(kind), TrainingSection))
    if section.model != model:
        raise ConfigError(f"{path}: key `{key}.model` is {section.model!r}, expected {model!r}, the model of this file")
    return section


def task_parameters(section: TrainingSection, where: str, root: Path = Path()) -> dict[str, Parameter | None]:
    """Return what the trainer is told: the keys that the trainer, the architecture and the stage use.

    Args:
        section: The training.
        where: For messages: the file and the section's key.
        root: The project.

    Raises:
        ConfigError: there is no such kind or architecture, or a key was set that nothing uses.
    """
    find_kind(section.kind)
    architecture = _architecture_file(section, where, root)
    own = declared_parameters(architecture)
    declared = declared_parameters(_trainer_file(section.kind, where, root)) | own | dict.fromkeys(STAGE_KEYS, ...)
    dumped = section.model_dump()
    given = {name: dumped[name] for name in section.model_fields_set if name not in IDENTITY_KEYS}
    if isinstance(section, TfxSection) and defines(architecture, RUN_FN):
        _require_own(given, own, where, architecture)
    given |= {f"{OPTION_PREFIX}{name}": value for name, value in section.options.items()}
    return resolve_parameters(given, dumped, declared, where)


def _require_own(given: Iterable[str], own: Collection[str], where: str, architecture: Path) -> None:
    """Check that no key is set that only our training would use."""
    if ignored := sorted(NETWORK_KEYS.intersection(given).difference(own)):
        raise ConfigError(
            f"{where}: `{ignored[0]}` is not used, since {architecture} trains by its own `{RUN_FN}`; remove it, or "
            "name it in PARAMETERS there if that function uses it"
        )


def _trainer_file(kind: str, where: str, root: Path) -> Path:
    path = root / trainer_path(kind)
    if not path.is_file():
        raise ConfigError(
            f"{where}: kind `{kind}` has no file {trainer_path(kind)}; add it with its PARAMETERS, as "
            "docs/trainer-author.md shows"
        )
    return path


def _architecture_file(section: TrainingSection, where: str, root: Path) -> Path:
    path = architecture_path(section.kind, section.architecture)
    if not (root / path).is_file() or section.architecture.startswith("_"):
        known = sorted(each.stem for each in (root / path.parent).glob("*.py") if not each.stem.startswith("_"))
        raise ConfigError(
            f"{where}: kind `{section.kind}` has no architecture `{section.architecture}` ({path}); there are: "
            f"{', '.join(known) or 'none'}"
        )
    return root / path
