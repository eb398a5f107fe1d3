"""What a training is told, and the digest that says whether a checkpoint belongs to it. Knows no framework."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from components.errors import DigestMismatchError, SourceError
from components.stage.config import config_path
from components.stage.files import file_digest, record_digest, tree_digest
from components.training.core.architecture import architecture_path
from components.training.core.config import TrainingSection, task_parameters
from components.training.core.environment_choice import choose_here, read_environment
from components.training.core.kinds import find_kind, kind_files, trainer_path
from components.types import record
from components.types.dataset import MANIFEST_FILE, Split
from components.types.training import PREPARED_FILE, PreparedSpec, TrainingTask

CHECKPOINTS_DIR = Path(".towpath/checkpoints")
WORK_DIR = Path(".towpath/work")

NEUTRAL_KEYS = frozenset({"timeout_s", "checkpoint_every_s", "parity_bound"})
"""Keys that a training may change and still go on from its checkpoint."""


def make_task(section: TrainingSection, training: str) -> TrainingTask:
    """Return the task of one training, with its folders.

    Raises:
        SourceError: the model's data are not prepared.
        DigestMismatchError: they were prepared from other data than are there now.
        ConfigError: a key, the kind or the architecture is wrong.
        MissingExtraError: this machine cannot have the environment that the kind runs in.
    """
    where = f"{config_path(section.model)}: key `trainings.{training}`"
    parameters = task_parameters(section, where)
    prepared_dir = Path("out") / section.model / "prepared"
    task = TrainingTask(
        model=section.model,
        training=training,
        kind=section.kind,
        architecture=section.architecture,
        spec=_read_spec(prepared_dir, section.model),
        prepared_dir=prepared_dir,
        output_dir=WORK_DIR / training,
        checkpoint_dir=Path(),
        parameters=parameters,
        seed=section.seed,
        threads=section.threads,
    )
    return dataclasses.replace(task, checkpoint_dir=CHECKPOINTS_DIR / training / task_digest(task))


def task_digest(task: TrainingTask) -> str:
    """Return a digest of all that a training's course depends on: its keys, its data and the code that is its own.

    Raises:
        ConfigError: the kind is wrong, or does not declare its environment as it must.
        MissingExtraError: this machine cannot have the environment that the kind runs in.
    """
    parts: dict[str, Any] = {
        "model": task.model,
        "training": task.training,
        "kind": task.kind,
        "architecture": file_digest(architecture_path(task.kind, task.architecture)),
        "trainer": file_digest(trainer_path(task.kind)),
        "package": {path.name: file_digest(path) for path in kind_files(task.kind)},
        "prepared": tree_digest(task.prepared_dir),
        "parameters": {name: value for name, value in task.parameters.items() if name not in NEUTRAL_KEYS},
    }
    if environment := find_kind(task.kind).environment:
        parts["lock"] = choose_here(environment, read_environment(environment)).lock_sha256
    return record_digest(parts)


def _read_spec(prepared_dir: Path, model: str) -> PreparedSpec:
    path = prepared_dir / PREPARED_FILE
    if not path.is_file():
        raise SourceError(f"{path} is missing; prepare the data first: dvc repro prepare@{model}")
    try:
        spec = record.read(PreparedSpec, path)
    except ValueError as error:
        raise DigestMismatchError(f"{path} cannot be read ({error}); delete it and prepare again") from error
    _check_dataset(spec, prepared_dir, model)
    return spec


def _check_dataset(spec: PreparedSpec, prepared_dir: Path, model: str) -> None:
    """Check that the splits are the data that are there: DVC orders the stages, a person may not."""
    manifest = Path("data") / model / "dataset" / MANIFEST_FILE
    if manifest.is_file() and json.loads(manifest.read_text(encoding="utf-8"))["digest"] != spec.dataset_digest:
        raise DigestMismatchError(
            f"{prepared_dir} was prepared from another dataset than data/{model}/dataset holds; prepare again: "
            f"dvc repro prepare@{model}"
        )
    if empty := [split.value for split in Split if not spec.rows.get(split)]:
        raise SourceError(f"{prepared_dir}: the {empty[0]} split has no rows; change the shares under `features.split`")
