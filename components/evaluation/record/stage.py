"""The evaluate stage: read a training's product, measure it on validation and test, write the record. Never judges."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.errors import ConfigError, DigestMismatchError, SchemaError
from components.evaluation.record.bootstrap import intervals
from components.evaluation.record.config import EvaluationSection
from components.evaluation.record.metrics import measured
from components.evaluation.record.predict import SplitRows, predict_split, read_prepared
from components.evaluation.record.scored import Scored
from components.evaluation.record.slices import slices
from components.stage.config import config_path, nearest, read_section
from components.stage.files import whole_directory, write_json
from components.types import record
from components.types.dataset import Split
from components.types.evaluation import (
    EVALUATION_FILE,
    METRIC_DIRECTIONS,
    PREDICTIONS_FILE,
    Evaluation,
    MetricValue,
    SliceResult,
    SplitResult,
)
from components.types.product import ProductRef
from components.types.training import RESULT_FILE, PreparedSpec, TrainingResult

PLOTS_DIR = "plots"
PRODUCT_DIR = "product"


def run(model: str, training: str) -> None:
    """Evaluate one training of the project in the current folder.

    Raises:
        TowpathError: the configuration, the product or the data is not as expected; nothing was written.
    """
    section = read_section(config_path(model), f"models.{model}.evaluation", EvaluationSection)
    trained = Path("out") / model / "trainings" / training
    target = Path("out") / model / "evaluations" / training
    evaluate(trained, Path("out") / model / "prepared", section, target)


def evaluate(trained: Path, prepared: Path, section: EvaluationSection, target: Path) -> Evaluation:
    """Measure the product below `trained` on the prepared splits, and write the record to `target`.

    Raises:
        DigestMismatchError: the product is not the one that the training wrote, or was trained on other data.
        SchemaError: the product does not fit the data.
        ConfigError: the configuration names a metric or a column that is not there.
    """
    result = read_result(trained)
    spec = read_prepared(prepared)
    if result.dataset_digest != spec.dataset_digest:
        raise DigestMismatchError(
            f"{trained} was trained on data {result.dataset_digest[:12]}, {prepared} holds {spec.dataset_digest[:12]}; "
            "train again"
        )
    product = ProductRef(trained / PRODUCT_DIR, result.product_digest, result.runtime)
    evaluation, test = measure(product, result.training, prepared, spec, section)
    from components.evaluation.record.plots import write_plots  # matplotlib, and only once there is something to draw

    with whole_directory(target) as folder:
        write_json(folder / EVALUATION_FILE, evaluation)
        write_predictions(folder / PREDICTIONS_FILE, test, spec)
        write_plots(folder / PLOTS_DIR, test.scored, evaluation)
    return evaluation


def measure(
    product: ProductRef, training: str, prepared: Path, spec: PreparedSpec, section: EvaluationSection
) -> tuple[Evaluation, SplitRows]:
    """Return the record of a product on the prepared splits, and the test split's rows; nothing is written.

    Raises:
        DigestMismatchError: the product's bytes are not those that were promised.
        SchemaError: the product does not fit the data.
        ConfigError: the configuration names a metric or a column that is not there.
    """
    primary = section.primary_for(spec.task)
    known = {name for each in spec.inputs for name in each.columns} | {spec.label_column}
    for column in section.slices:
        if column not in known:
            raise ConfigError(
                f"evaluation.slices: unknown column `{column}`{nearest(column, known)}; "
                f"known: {', '.join(sorted(known))}"
            )
    rows = {
        split: predict_split(product, prepared, split, section.slices, spec) for split in (Split.VALIDATION, Split.TEST)
    }
    results = {split: split_result(each, section) for split, each in rows.items()}
    evaluation = Evaluation(
        model=spec.model,
        training=training,
        task=spec.task,
        primary=primary,
        product_digest=product.digest,
        dataset_digest=spec.dataset_digest,
        validation=results[Split.VALIDATION],
        test=results[Split.TEST],
    )
    return evaluation, rows[Split.TEST]


def split_result(rows: SplitRows, section: EvaluationSection) -> SplitResult:
    """Return the metrics of a split with intervals, and of its slices without."""
    directions = METRIC_DIRECTIONS[rows.scored.task]
    metrics = {
        name: MetricValue(value, low, high, directions[name])
        for name, (value, low, high) in intervals(rows.scored, section.bootstrap, section.seed).items()
    }
    found = tuple(
        SliceResult(column, value, len(chosen), measured(rows.scored.take(chosen)))
        for column in section.slices
        for value, chosen in slices(rows.table.column(column).combine_chunks(), section)
    )
    return SplitResult(rows.scored.rows, metrics, found)


def read_result(trained: Path) -> TrainingResult:
    """Return what a training wrote.

    Raises:
        DigestMismatchError: nothing is there, or it is damaged.
    """
    try:
        return record.read(TrainingResult, trained / RESULT_FILE)
    except (OSError, ValueError) as error:
        raise DigestMismatchError(f"{trained / RESULT_FILE} cannot be read ({error}); train again") from error


def write_predictions(path: Path, rows: SplitRows, spec: PreparedSpec) -> None:
    """Write id, label, prediction and, for classification, probabilities (one list per row, in class order).

    Raises:
        SchemaError: the ids are not unique, so that a prediction could not be found again.
    """
    ids = rows.table.column(spec.id_column)
    if len(ids.unique()) != len(ids):
        raise SchemaError(f"column `{spec.id_column}` is not unique in the test split; ids must be unique")
    columns = {
        "id": ids,
        "label": rows.table.column(spec.label_column),
        "prediction": _predictions(rows.scored),
    }
    if rows.scored.classes:
        flat = pa.array(np.ascontiguousarray(rows.scored.probabilities, dtype=np.float32).ravel())
        columns["probabilities"] = pa.FixedSizeListArray.from_arrays(flat, len(rows.scored.classes))
    pq.write_table(pa.table(columns), path, compression="zstd")


def _predictions(scored: Scored) -> pa.Array:
    if not scored.classes:
        return pa.array(scored.predicted)
    return pa.array(list(scored.classes)).take(pa.array(scored.predicted))
