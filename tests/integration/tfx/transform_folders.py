"""Run Transform over prepared folders, in the environment of kind tfx: ``python transform_folders.py FOLDER…``.

Each folder gets ``transformed/<split>.features.npy`` and ``.target.npy``: what the stored Transform graph makes of the
split's Examples, in their order; or ``failed.txt``. The analysis is a true one: Examples in files, Beam in memory, the
train split alone.
"""

import sys
import tempfile
from pathlib import Path

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from apache_beam.options.pipeline_options import PipelineOptions
from tensorflow_transform.tf_metadata.schema_utils import schema_as_feature_spec
from tfx_bsl.tfxio import tf_example_record

from components.training.tfx.exact import exact_columns
from components.training.tfx.example_gen import write_examples
from components.training.tfx.preprocessing import preprocessing_fn
from components.training.tfx.schema import curated_schema
from components.types import record
from components.types.features import FEATURE_PLAN_FILE, FeaturePlan
from components.types.training import PREPARED_FILE, PreparedSpec

BEAM = ["--direct_running_mode=in_memory", "--direct_num_workers=1"]
BATCH_ROWS = 1_000


def transform(folder: Path, temporary: Path) -> None:
    spec = record.read(PreparedSpec, folder / PREPARED_FILE)
    exact = exact_columns(record.read(FeaturePlan, folder / FEATURE_PLAN_FILE))
    schema = curated_schema(spec, exact)
    for split in ("train", "validation"):
        write_examples(folder / f"{split}.parquet", spec, exact, temporary / f"{split}.gz")
    analyze(folder, temporary, schema)
    layer = tft.TFTransformOutput(str(temporary / "graph")).transform_features_layer()
    (folder / "transformed").mkdir()
    for split in ("train", "validation"):
        records = tf.data.TFRecordDataset(str(temporary / f"{split}.gz"), "GZIP").batch(BATCH_ROWS)
        parsed = (tf.io.parse_example(batch, schema_as_feature_spec(schema).feature_spec) for batch in records)
        outputs = [layer(batch) for batch in parsed]
        for name in ("features", "target"):
            values = np.concatenate([each[name].numpy() for each in outputs])
            np.save(folder / "transformed" / f"{split}.{name}.npy", values)


def analyze(folder: Path, temporary: Path, schema: object) -> None:
    source = tf_example_record.TFExampleRecord(
        str(temporary / "train.gz"), schema=schema, telemetry_descriptors=["test"]
    )
    config = {"prepared_dir": str(folder)}
    with (
        beam.Pipeline(options=PipelineOptions(BEAM)) as pipeline,
        tft_beam.Context(temp_dir=str(temporary / "beam")),
    ):
        rows = pipeline | source.BeamSource(batch_size=BATCH_ROWS)
        graph = (rows, source.TensorAdapterConfig()) | tft_beam.AnalyzeDataset(
            lambda inputs: preprocessing_fn(inputs, config)
        )
        _ = graph | tft_beam.WriteTransformFn(str(temporary / "graph"))


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as directory:
            try:
                transform(Path(argument), Path(directory))
            except Exception as error:
                (Path(argument) / "failed.txt").write_text(f"{type(error).__name__}: {error}")
