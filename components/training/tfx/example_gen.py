"""ExampleGen over prepared Parquet: train and validation become `train` and `eval`. Never reads the test split.

TFX's own Parquet reader takes 0, False and "" for missing, and shuffles by chance; this one keeps values and order.
"""

from __future__ import annotations

import json
from collections.abc import Collection
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

VALIDATION_SPLIT = "eval"
"""What TFX calls it."""
SPLITS = {"train": Split.TRAIN, VALIDATION_SPLIT: Split.VALIDATION}
"""TFX's names of the splits, and ours."""
_EXAMPLES = "examples"
_PREPARED_DIR = "prepared_dir"
_EXACT = "exact"
_FILE = "data_tfrecord-00000-of-00001.gz"


class PreparedExampleGenSpec(component_spec.ComponentSpec):
    """What `PreparedExampleGen` is told and gives."""

    PARAMETERS = {  # noqa: RUF012  (TFX reads a dict)
        _PREPARED_DIR: component_spec.ExecutionParameter(type=str),
        _EXACT: component_spec.ExecutionParameter(type=str),
    }
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
        exact = json.loads(exec_properties[_EXACT])
        artifact = artifact_utils.get_single_instance(output_dict[_EXAMPLES])
        artifact.split_names = artifact_utils.encode_split_names(list(SPLITS))
        for name, split in SPLITS.items():
            folder = Path(artifact_utils.get_split_uri([artifact], name))
            folder.mkdir(parents=True, exist_ok=True)
            write_examples(prepared_dir / f"{split}.parquet", spec, exact, folder / _FILE)
        examples_utils.set_payload_format(artifact, example_gen_pb2.FORMAT_TF_EXAMPLE)
        examples_utils.set_file_format(artifact, "tfrecords_gzip")


class PreparedExampleGen(base_component.BaseComponent):
    """Gives the prepared splits as ``outputs["examples"]``."""

    SPEC_CLASS = PreparedExampleGenSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(PreparedExampleGenExecutor)

    def __init__(self, prepared_dir: Path, exact: Collection[str] = ()) -> None:
        """Read the splits of `prepared_dir`; the numbers of the columns `exact` keep all their digits."""
        examples = types.Channel(type=standard_artifacts.Examples)
        told = {_PREPARED_DIR: str(prepared_dir), _EXACT: json.dumps(list(exact))}
        super().__init__(PreparedExampleGenSpec(examples=examples, **told))


def write_examples(source: Path, spec: PreparedSpec, exact: Collection[str], target: Path) -> None:
    """Write the rows of a Parquet file as tf.train.Examples.

    Args:
        source: ``<split>.parquet`` of the prepared data.
        spec: Says what its columns are.
        exact: Columns of numbers whose bits travel beside them.
        target: The file of TFRecords.

    Raises:
        SchemaError: a column is missing, or cannot become what its input is.
    """
    encoder = example_coder.RecordBatchToExamplesEncoder()
    options = tf.io.TFRecordOptions(compression_type="GZIP", compression_level=1)
    with tf.io.TFRecordWriter(str(target), options) as writer:
        for batch in example_batches(source, spec, exact):
            for example in encoder.encode(batch):
                writer.write(example)
