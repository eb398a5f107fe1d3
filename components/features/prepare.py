"""Prepare a model's data for training: choose columns, split rows, fit statistics, build the graph, write it all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from components.errors import SchemaError, ValidationRefusedError
from components.features.config import FeaturesSection
from components.features.graph import Preprocessing, build_graph
from components.features.matrix import write_sides
from components.features.plan import feature_plan
from components.features.selection import ImageColumns, select
from components.features.splits import SIDES, Sides, assign_sides
from components.features.statistics import fit
from components.features.table import DatasetTable
from components.features.target import Label, Target, learn_target, read_label
from components.stage.config import config_path, read_section
from components.stage.files import whole_directory, write_json
from components.types.dataset import DatasetManifest
from components.types.features import FEATURE_PLAN_FILE
from components.types.training import PREPARED_FILE, PREPROCESSING_FILE, PreparedSpec


@dataclass(frozen=True)
class Preparation:
    """What was written, and what a person should know of it."""

    spec: PreparedSpec
    notes: tuple[str, ...]


def prepared_dir(model: str, root: Path = Path()) -> Path:
    """Return the folder that `prepare` writes."""
    return root / "out" / model / "prepared"


def prepare(model: str, root: Path = Path()) -> Preparation:
    """Write ``out/<model>/prepared/``, as `PreparedSpec` describes it.

    Raises:
        ConfigError: the configuration is wrong, or does not fit the table.
        SchemaError: the table does not fit the task.
        SourceError: nothing was ingested.
        DigestMismatchError: the table's bytes are not those of its manifest.
        ValidationRefusedError: the table was not validated, or not with success.
    """
    key = f"models.{model}.features"
    section = read_section(config_path(model, root), key, FeaturesSection)
    where = f"{config_path(model)}: {key}"
    table = DatasetTable(root / "data" / model / "dataset")
    _require_validated(root / "out" / model / "validation" / "verdict.json", table.manifest)
    selection = select(table.manifest, section, where)
    label = read_label(table, section.task)
    sides = assign_sides(section.split, table, label.strata, where)
    target = learn_target(label, sides, section.class_weights == "balanced", str(table.path))
    fitted = fit(table, selection.columns, sides)
    if not (fitted.numbers or fitted.categories or selection.images):
        raise SchemaError(f"{table.path}: every column has one value in the train split; nothing can be learned")
    graph = build_graph(selection, fitted)
    spec = _spec(table.manifest, section, graph, selection.images, label, target, sides)
    plan = feature_plan(table.manifest, selection, fitted, spec)
    with whole_directory(prepared_dir(model, root)) as folder:
        write_sides(folder, table, sides, target, graph)
        (folder / PREPROCESSING_FILE).write_bytes(graph.model.SerializeToString(deterministic=True))
        write_json(folder / PREPARED_FILE, spec)
        write_json(folder / FEATURE_PLAN_FILE, plan)
    return Preparation(spec, tuple(_notes(spec, section, fitted.constant)))


def _require_validated(path: Path, manifest: DatasetManifest) -> None:
    """Check that the table about to be used is the one that met its suite."""
    try:
        verdict = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValidationRefusedError(f"{path} is missing or unreadable; run the validate stage first") from error
    if not isinstance(verdict, dict) or verdict.get("success") is not True:
        raise ValidationRefusedError(f"{path} does not say that the data met its suite; nothing is prepared from it")
    if verdict.get("dataset_digest") != manifest.digest:
        raise ValidationRefusedError(f"{path} is about another dataset; run the validate stage on this one")


def _spec(
    manifest: DatasetManifest,
    section: FeaturesSection,
    graph: Preprocessing,
    images: Sequence[ImageColumns],
    label: Label,
    target: Target,
    sides: Sides,
) -> PreparedSpec:
    image_shape = None
    if len(graph.inputs) == 1 and images:
        height, width, *channels = images[0].input.shape
        image_shape = (height, width, channels[0] if channels else 1)
    return PreparedSpec(
        model=manifest.model,
        task=section.task,
        inputs=graph.inputs,
        classes=label.classes,
        class_weights=target.class_weights,
        target_mean=target.mean,
        target_scale=target.scale,
        feature_names=graph.feature_names,
        image_shape=image_shape,
        rows={side.value: int(np.count_nonzero(sides == index)) for index, side in enumerate(SIDES)},
        dataset_digest=manifest.digest,
        id_column=manifest.id_column,
        label_column=manifest.label_column,
    )


def _notes(spec: PreparedSpec, section: FeaturesSection, constant: Sequence[str]) -> list[str]:
    rows = ", ".join(f"{count} {side}" for side, count in spec.rows.items())
    notes = [f"{len(spec.inputs)} inputs became {spec.n_features} features; rows: {rows}"]
    if constant:
        notes.append(f"left out, for they say nothing in the train split: {', '.join(constant)}")
    if section.split.by == "stratified":
        notes.append("split stratified: rows may change sides as the data grows; `by: id` would keep them")
    return notes
