"""A TFX training: run the pipeline, stop at anomalies, and keep what is to be kept. Knows no network."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

from components.errors import TowpathError, ValidationRefusedError
from components.stage.files import write_json
from components.training.core.architecture import architecture_path
from components.training.core.doing import say_doing
from components.training.core.protocol import native_dir, validation_output_path
from components.training.tfx.analysis import read_analysis
from components.training.tfx.failure import component_failure
from components.training.tfx.kept_metadata import keep_metadata
from components.training.tfx.lineage import read_lineage
from components.training.tfx.local_run import Finished, run_components
from components.training.tfx.pipeline import METADATA_FILE, PIPELINE_DIR, PUSHED_DIR, make_pipeline
from components.training.tfx.run_fn import COURSE_FILE, Course
from components.training.tfx.serving import write_product
from components.training.tfx.settings import log_path, read_settings
from components.training.tfx.statistics import read_anomalies, read_statistics
from components.training.tfx.user_module import find_functions
from components.types import record, tfx
from components.types.training import TrainedModel, TrainingTask

PRODUCT_DIR = "product"
RUNTIME = "savedmodel"
_SHOWN = 5
"""How many anomalies an error names."""

Outputs = Mapping[str, Mapping[str, Path]]


def run_pipeline(task: TrainingTask, tell: Callable[[str], None]) -> TrainedModel:
    """Train by a pipeline, and write the product and the records.

    Args:
        task: What to train.
        tell: Takes a sentence for whoever watches.

    Raises:
        ConfigError: a key, or the architecture, is wrong.
        ValidationRefusedError: the data do not meet the schema.
        TrainingError: a component failed.
    """
    pipeline = make_pipeline(task, read_settings(task), find_functions(task))
    kept = native_dir(task) / "tfx"
    kept.mkdir(exist_ok=True)
    outputs: dict[str, Mapping[str, Path]] = {}
    for finished in run_components(pipeline, task.checkpoint_dir.name, _starting(task, tell), _failing(task)):
        outputs[finished.component] = finished.outputs
        _after(finished, task, kept)
    product = write_product(_pushed(task), task.spec, task.output_dir / PRODUCT_DIR)
    _keep(task, outputs, product, kept)
    course = record.read(Course, task.output_dir / COURSE_FILE)
    return TrainedModel(
        network=None,
        raw_product=product,
        native=tuple(path for path in sorted(native_dir(task).rglob("*")) if path.is_file()),
        validation_output=validation_output_path(task),
        framework=f"tfx {version('tfx')} on tensorflow {version('tensorflow')}",
        epochs_run=course.epochs_run,
        best_epoch=course.best_epoch,
        resumed_from_epoch=course.resumed_from_epoch,
        runtime=RUNTIME,
    )


def _starting(task: TrainingTask, tell: Callable[[str], None]) -> Callable[[str, int, int], None]:
    def start(component: str, number: int, count: int) -> None:
        say_doing(task.output_dir, f"in component {component}; the whole log is {log_path(task)}")
        tell(f"{task.training}: {component} ({number} of {count})")

    return start


def _failing(task: TrainingTask) -> Callable[[str, Exception], NoReturn]:
    def fail(component: str, error: Exception) -> NoReturn:
        if isinstance(error, TowpathError):
            raise error
        user_file = architecture_path(task.kind, task.architecture)
        raise component_failure(error, component, task.training, user_file, log_path(task)) from error

    return fail


def _after(finished: Finished, task: TrainingTask, kept: Path) -> None:
    """Write what a component found, and stop where data do not meet their schema, before anything is spent on them."""
    outputs = finished.outputs
    if "statistics" in outputs:
        write_json(kept / tfx.STATISTICS_FILE, read_statistics(outputs["statistics"]))
    if finished.component in ("SchemaGen", "ImportSchemaGen"):
        shutil.copyfile(outputs["schema"] / "schema.pbtxt", kept / tfx.SCHEMA_FILE)
    if "anomalies" in outputs:
        found = read_anomalies(outputs["anomalies"])
        write_json(kept / tfx.ANOMALIES_FILE, found)
        if found.anomalies:
            raise _refusal(task, found)


def _refusal(task: TrainingTask, found: tfx.Anomalies) -> ValidationRefusedError:
    named = [
        f"{each.feature or 'the table'} ({each.split} split): {each.reason}: {each.description}".rstrip(": ")
        for each in found.anomalies
    ]
    more = f" (and {len(named) - _SHOWN} more)" if len(named) > _SHOWN else ""
    return ValidationRefusedError(
        f"training {task.training}: the data do not meet the schema: {'; '.join(named[:_SHOWN])}{more}; correct the "
        "data, or the schema that the training names under `schema_from`"
    )


def _keep(task: TrainingTask, outputs: Outputs, product: Path, kept: Path) -> None:
    evaluator = outputs["Evaluator"]
    write_json(kept / tfx.ANALYSIS_FILE, read_analysis(evaluator["evaluation"], evaluator["blessing"], task, product))
    pushed = _pushed(task)
    replaced = {
        str(pushed.resolve()): f"{task.training}/{PUSHED_DIR}/1",
        str(task.output_dir.resolve()): task.training,
        pushed.name: "1",
    }
    keep_metadata(task.output_dir / PIPELINE_DIR / METADATA_FILE, kept / tfx.METADATA_FILE, replaced)
    write_json(kept / tfx.LINEAGE_FILE, read_lineage(kept / tfx.METADATA_FILE))


def _pushed(task: TrainingTask) -> Path:
    """Return the folder of the one version that Pusher wrote; its name is a time."""
    (folder,) = (task.output_dir / PUSHED_DIR).iterdir()
    return folder
