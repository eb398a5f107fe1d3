"""Transform and train task files, in the environment of kind tfx: ``python train_tasks.py TASK_FILE…``.

What TFX's components would do around our functions, done by hand: raw Examples in files, Transform by Beam with its own
analyzers, transformed Examples in another order than their rows, `tuner_fn` where trials are asked for, `run_fn`. Each
task's folder gets ``product/``. A task that fails leaves ``error.json``, and the others go on.
"""

import importlib
import random
import sys
import traceback
from functools import partial
from pathlib import Path

import apache_beam as beam
import tensorflow as tf
import tensorflow_transform.beam as tft_beam
from apache_beam.options.pipeline_options import PipelineOptions
from tensorflow_transform import TFTransformOutput
from tensorflow_transform.tf_metadata import dataset_metadata, metadata_io
from tfx.components.trainer.fn_args_utils import DataAccessor, FnArgs
from tfx.components.util import examples_utils, tfxio_utils
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_artifacts
from tfx_bsl.coders import example_coder
from tfx_bsl.tfxio import tf_example_record

from components.errors import TowpathError, error_to_json
from components.stage.files import write_json
from components.training.tfx import preprocessing
from components.training.tfx.exact import exact_columns
from components.training.tfx.example_gen import write_examples
from components.training.tfx.run_fn import run_fn
from components.training.tfx.schema import curated_schema
from components.training.tfx.serving import write_product
from components.training.tfx.tuner import tuner_fn
from components.types import record
from components.types.features import FEATURE_PLAN_FILE, FeaturePlan
from components.types.training import TrainingTask

BEAM = ["--direct_running_mode=in_memory", "--direct_num_workers=1"]
BATCH_ROWS = 1_000
"""Fixed, since sums of floats depend on it."""
SPLITS = {"train": "train", "eval": "validation"}
ENCODER = example_coder.RecordBatchToExamplesEncoder()


def train(task: TrainingTask) -> None:
    folder = task.output_dir / "transform"
    module = importlib.import_module(f"components.models.tfx.{task.architecture}")
    own = getattr(module, "preprocessing_fn", None)
    exact = () if own else exact_columns(record.read(FeaturePlan, task.prepared_dir / FEATURE_PLAN_FILE))
    custom_config = {"task": record.dump(task), "prepared_dir": str(task.prepared_dir)}
    if not folder.exists():
        transform(task, exact, folder, own or partial(preprocessing.preprocessing_fn, custom_config=custom_config))
    fn_args = FnArgs(
        train_files=[str(folder / "Split-train" / "*")],
        eval_files=[str(folder / "Split-eval" / "*")],
        transform_graph_path=str(folder / "graph"),
        data_accessor=accessor(folder),
        serving_model_dir=str(task.output_dir / "model" / "Format-Serving"),
        model_run_dir=str(task.output_dir / "run"),
        working_dir=str(task.output_dir / "working"),
        train_steps=200,
        custom_config=custom_config,
    )
    fn_args.transform_output = fn_args.transform_graph_path
    if task.parameters["trials"]:
        search = tuner_fn(fn_args)
        search.tuner.search(**search.fit_kwargs)
        fn_args.hyperparameters = search.tuner.get_best_hyperparameters()[0].get_config()
        losses = [each.score for each in search.tuner.oracle.get_best_trials(task.parameters["trials"])]
        write_json(task.output_dir / "trials.json", losses)
    run_fn(fn_args)
    write_product(Path(fn_args.serving_model_dir), task.spec, task.output_dir / "product")


def transform(task: TrainingTask, exact: tuple[str, ...], folder: Path, preprocessing_fn: object) -> None:
    schema = curated_schema(task.spec, exact)
    folder.mkdir()
    for split in SPLITS.values():
        write_examples(task.prepared_dir / f"{split}.parquet", task.spec, exact, folder / f"{split}.gz")
    source = {
        name: tf_example_record.TFExampleRecord(str(folder / f"{split}.gz"), schema=schema, telemetry_descriptors=["t"])
        for name, split in SPLITS.items()
    }
    with beam.Pipeline(options=PipelineOptions(BEAM)) as pipeline, tft_beam.Context(temp_dir=str(folder / "beam")):
        rows = {name: pipeline | name >> each.BeamSource(batch_size=BATCH_ROWS) for name, each in source.items()}
        adapter = source["train"].TensorAdapterConfig()
        graph = (rows["train"], adapter) | tft_beam.AnalyzeDataset(preprocessing_fn)
        _ = graph | tft_beam.WriteTransformFn(str(folder / "graph"))
        for name, each in rows.items():
            data, _ = ((each, adapter), graph) | f"transform {name}" >> tft_beam.TransformDataset(
                output_record_batches=True
            )
            _ = (
                data
                | f"encode {name}" >> beam.FlatMapTuple(lambda batch, _: ENCODER.encode(batch))
                | f"together {name}" >> beam.combiners.ToList()
                | f"write {name}" >> beam.Map(write_in_another_order, str(folder / f"Split-{name}"))
            )
    metadata = dataset_metadata.DatasetMetadata(schema)
    metadata_io.write_metadata(metadata, str(folder / "graph" / TFTransformOutput.RAW_METADATA_DIR))


def accessor(folder: Path) -> DataAccessor:
    """Return what TFX's Trainer makes of the artifact of transformed examples."""
    examples = standard_artifacts.Examples()
    examples.uri = str(folder)
    examples.split_names = artifact_utils.encode_split_names(list(SPLITS))
    examples_utils.set_payload_format(examples, example_gen_pb2.FORMAT_TF_EXAMPLE)
    examples_utils.set_file_format(examples, "tfrecords_gzip")
    return DataAccessor(
        tf_dataset_factory=tfxio_utils.get_tf_dataset_factory_from_artifact([examples], ["test"]),
        record_batch_factory=tfxio_utils.get_record_batch_factory_from_artifact([examples], ["test"]),
        data_view_decode_fn=None,
    )


def write_in_another_order(examples: list[bytes], folder: str) -> None:
    random.Random(1).shuffle(examples)
    Path(folder).mkdir()
    half = len(examples) // 2
    for number, part in enumerate((examples[:half], examples[half:])):
        with tf.io.TFRecordWriter(f"{folder}/transformed_examples-0000{number}-of-00002.gz", "GZIP") as writer:
            for each in part:
                writer.write(each)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        task_file = Path(argument)
        try:
            train(record.read(TrainingTask, task_file))
        except TowpathError as error:
            traceback.print_exc()
            write_json(task_file.parent / "error.json", error_to_json(error))
