"""The components of a TFX pipeline and their order. Knows no preprocessing, no network and no runner.

The functions that components call get their words through ``custom_config``: ``task`` (a `TrainingTask` as JSON),
``prepared_dir``, and the architecture's own options by their names.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from tfx.components.example_validator.component import ExampleValidator
from tfx.components.pusher.component import Pusher
from tfx.components.schema_gen.component import SchemaGen
from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen
from tfx.components.statistics_gen.component import StatisticsGen
from tfx.components.trainer.component import Trainer
from tfx.components.transform.component import Transform
from tfx.components.tuner.component import Tuner
from tfx.orchestration import metadata
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import pusher_pb2, trainer_pb2
from tfx.utils import io_utils

from components.errors import ConfigError, DigestMismatchError
from components.training.core.architecture import architecture_path
from components.training.core.declared import OPTION_PREFIX
from components.training.tfx.analysis import make_evaluator
from components.training.tfx.exact import exact_columns
from components.training.tfx.example_gen import VALIDATION_SPLIT, PreparedExampleGen
from components.training.tfx.schema import curated_schema
from components.training.tfx.settings import Settings, train_steps
from components.training.tfx.user_module import SCHEMA, Functions
from components.types import record
from components.types.features import FEATURE_PLAN_FILE, FeaturePlan
from components.types.training import TrainingTask

PIPELINE_DIR = "pipeline"
PUSHED_DIR = "pushed"
METADATA_FILE = "metadata.sqlite"
_SCHEMA_FILE = "schema.pbtxt"
_RUN_FN = "components.training.tfx.run_fn.run_fn"
_BATCHES_BY_SIZE = "--tfxio_use_byte_size_batching"
"""Makes batches of rows by their bytes; by default Beam finds the size by the clock, from 1 upwards, which takes longer
and lets sums of floats differ from run to run."""
_NOTHING_TO_SHIP = "--sdk_container_image=none"
"""Says that Beam's workers have TFX already. Without it every component that runs on Beam copies all of TFX into a
temporary folder that stays, and makes a package of it, from another working directory; a runner in this process reads
neither the package nor this image."""


def make_pipeline(task: TrainingTask, settings: Settings, functions: Functions) -> Pipeline:
    """Return the pipeline of a task, which writes under ``task.output_dir``.

    Args:
        task: What to train.
        settings: Which components, and how they run.
        functions: What Transform, Tuner and Trainer call.

    Raises:
        ConfigError: the training asks for a schema that is not there, or for a slice or threshold that cannot be.
        DigestMismatchError: the prepared data have no feature plan.
    """
    root = (task.output_dir / PIPELINE_DIR).resolve()
    root.mkdir(parents=True, exist_ok=True)
    return Pipeline(
        pipeline_name=task.training,
        pipeline_root=str(root),
        components=_components(task, settings, functions, root),
        enable_cache=False,  # DVC decides what is up to date; TFX's own key does not see the code
        metadata_connection_config=metadata.sqlite_metadata_connection_config(str(root / METADATA_FILE)),
        beam_pipeline_args=[*settings.beam, *_shipping(settings.beam), _BATCHES_BY_SIZE],
    )


def _shipping(beam: Collection[str]) -> tuple[str, ...]:
    """Return what spares workers in this process a package of TFX; a runner from elsewhere is given one."""
    return () if any(each.startswith("--runner") for each in beam) else (_NOTHING_TO_SHIP,)


def _components(task: TrainingTask, settings: Settings, functions: Functions, root: Path) -> list[Any]:
    custom_config = _custom_config(task)
    exact = () if functions.own_preprocessing else exact_columns(_feature_plan(task))
    example_gen = PreparedExampleGen(task.prepared_dir, exact)
    examples = example_gen.outputs["examples"]
    statistics = StatisticsGen(examples=examples)
    schema_gen = _schema_gen(task, settings, functions.schema, exact, statistics, root)
    schema = schema_gen.outputs["schema"]
    validator = ExampleValidator(statistics=statistics.outputs["statistics"], schema=schema)
    transform = Transform(
        examples=examples,
        schema=schema,
        preprocessing_fn=functions.preprocessing_fn,
        custom_config=custom_config,
        disable_analyzer_cache=True,
        disable_statistics=True,
    )
    transform.add_upstream_node(validator)  # nothing is spent on data that is not as it should be
    learn = {
        "examples": transform.outputs["transformed_examples"],
        "transform_graph": transform.outputs["transform_graph"],
        "schema": schema,
        "train_args": trainer_pb2.TrainArgs(num_steps=train_steps(task)),
        "eval_args": trainer_pb2.EvalArgs(),
        "custom_config": custom_config,
    }
    tuner = [Tuner(tuner_fn=functions.tuner_fn, **learn)] if settings.trials else []
    found = tuner[0].outputs["best_hyperparameters"] if tuner else None
    trainer = Trainer(run_fn=_RUN_FN, hyperparameters=found, **learn)
    model = trainer.outputs["model"]
    evaluator = make_evaluator(task, examples, model)
    pusher = Pusher(model=model, push_destination=_destination(task))
    pusher.add_upstream_node(evaluator)  # its verdict is a gate of the pipeline, which keeps the product to show it
    return [example_gen, statistics, schema_gen, validator, transform, *tuner, trainer, evaluator, pusher]


def _custom_config(task: TrainingTask) -> dict[str, Any]:
    options = {
        name.removeprefix(OPTION_PREFIX): value
        for name, value in task.parameters.items()
        if name.startswith(OPTION_PREFIX)
    }
    return {**options, "task": record.dump(task), "prepared_dir": str(task.prepared_dir)}


def _feature_plan(task: TrainingTask) -> FeaturePlan:
    path = task.prepared_dir / FEATURE_PLAN_FILE
    try:
        return record.read(FeaturePlan, path)
    except (OSError, ValueError) as error:
        raise DigestMismatchError(f"{path} cannot be read ({error}); delete {path.parent} and prepare again") from error


def _schema_gen(
    task: TrainingTask,
    settings: Settings,
    own_schema: str | None,
    exact: Collection[str],
    statistics: StatisticsGen,
    root: Path,
) -> Any:
    if settings.schema_from == "infer":
        # with rows that it has seen, a schema agrees: it must not see those that it is to judge
        return SchemaGen(statistics.outputs["statistics"], infer_feature_shape=True, exclude_splits=[VALIDATION_SPLIT])
    path = root / _SCHEMA_FILE
    if settings.schema_from == "curated":
        io_utils.write_pbtxt_file(str(path), curated_schema(task.spec, exact))
    elif own_schema is not None:
        path.write_text(own_schema, encoding="utf-8")
    else:
        where = architecture_path(task.kind, task.architecture)
        raise ConfigError(f"{where} has no {SCHEMA}; add the text of a schema.pbtxt, or set `schema_from: curated`")
    return ImportSchemaGen(schema_file=str(path))


def _destination(task: TrainingTask) -> pusher_pb2.PushDestination:
    folder = (task.output_dir / PUSHED_DIR).resolve()
    return pusher_pb2.PushDestination(filesystem=pusher_pb2.PushDestination.Filesystem(base_directory=str(folder)))
