"""ExampleGen over prepared Parquet: train and validation become `train` and `eval`. Never reads the test split.

TFX's own Parquet reader takes 0, False and "" for missing, and shuffles by chance; this one keeps values and order.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf
from tfx import types
from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, component_spec, standard_artifacts
from tfx_bsl.coders import example_coder

from components.training.tfx.examples import example_batches
from components.types import record
from components.types.dataset import Split
from components.types.training import PREPARED_FILE, PreparedSpec

SPLITS = {"train": Split.TRAIN, "eval": Split.VALIDATION}
"""TFX's names of the splits, and ours."""
_EXAMPLES = "examples"
_PREPARED_DIR = "prepared_dir"
_FILE = "data_tfrecord-00000-of-00001.gz"


class PreparedExampleGenSpec(component_spec.ComponentSpec):
    """What `PreparedExampleGen` is told and gives."""

    PARAMETERS = {_PREPARED_DIR: component_spec.ExecutionParameter(type=str)}  # noqa: RUF012  (TFX reads a dict)
    INPUTS: dict[str, Any] = {}  # noqa: RUF012
    OUTPUTS = {_EXAMPLES: component_spec.ChannelParameter(type=standard_artifacts.Examples)}  # noqa: RUF012


class PreparedExampleGenExecutor(base_executor.BaseExecutor):
    """Writes each split as one file of compressed TFRecords, in the order of its rows."""

    def Do(  # noqa: N802  (TFX's name)
        self, input_dict: dict[str, Any], output_dict: dict[str, list[Any]], exec_properties: dict[str, Any]
    ) -> None:
        """Write the examples.

        Raises:
            SchemaError: a split is not as ``prepared.json`` says.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        prepared_dir = Path(exec_properties[_PREPARED_DIR])
        spec = record.read(PreparedSpec, prepared_dir / PREPARED_FILE)
        artifact = artifact_utils.get_single_instance(output_dict[_EXAMPLES])
        artifact.split_names = artifact_utils.encode_split_names(list(SPLITS))
        for name, split in SPLITS.items():
            folder = Path(artifact_utils.get_split_uri([artifact], name))
            folder.mkdir(parents=True, exist_ok=True)
            write_examples(prepared_dir / f"{split}.parquet", spec, folder / _FILE)
        examples_utils.set_payload_format(artifact, example_gen_pb2.FORMAT_TF_EXAMPLE)
        examples_utils.set_file_format(artifact, "tfrecords_gzip")


class PreparedExampleGen(base_component.BaseComponent):
    """Gives the prepared splits as ``outputs["examples"]``."""

    SPEC_CLASS = PreparedExampleGenSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(PreparedExampleGenExecutor)

    def __init__(self, prepared_dir: Path) -> None:
        """Read the splits of `prepared_dir`."""
        examples = types.Channel(type=standard_artifacts.Examples)
        super().__init__(PreparedExampleGenSpec(prepared_dir=str(prepared_dir), examples=examples))


def write_examples(source: Path, spec: PreparedSpec, target: Path) -> None:
    """Write the rows of a Parquet file as tf.train.Examples.

    Raises:
        SchemaError: a column is missing, or cannot become what its input is.
    """
    encoder = example_coder.RecordBatchToExamplesEncoder()
    options = tf.io.TFRecordOptions(compression_type="GZIP", compression_level=1)
    with tf.io.TFRecordWriter(str(target), options) as writer:
        for batch in example_batches(source, spec):
            for example in encoder.encode(batch):
                writer.write(example)
