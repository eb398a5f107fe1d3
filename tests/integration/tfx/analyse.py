"""Run a small TFX pipeline around a product made by hand, in the environment of kind tfx: ``python analyse.py FOLDER``.

The product is a rule, so that what TFMA must find is known; FOLDER gets the records as a training would leave them.
"""

import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
from tfx import v1 as tfx
from tfx.types import standard_artifacts

from components.stage.files import write_json
from components.training.tfx.analysis import make_evaluator, read_analysis
from components.training.tfx.example_gen import PreparedExampleGen
from components.training.tfx.lineage import read_lineage
from components.training.tfx.statistics import read_anomalies, read_statistics
from components.types.dataset import MISSING_STRING, ColumnType, Task
from components.types.product import InputSpec
from components.types.training import PREPARED_FILE, PreparedSpec, TrainingTask

INPUTS = (
    InputSpec("fare", ColumnType.FLOAT64, (), True, ("fare",)),
    InputSpec("pick up city", ColumnType.STRING, (), True, ("pick up city",)),
    InputSpec("shared", ColumnType.BOOL, (), False, ("shared",)),
    InputSpec("zone", ColumnType.INT64, (), False, ("zone",)),
)
EXACT = ("fare",)
THRESHOLDS = ("auc >= 0.6", "accuracy >= 0.5 by pick up city", "log_loss <= 5")


class Rule(tf.Module):
    """Says yes to a fare above 1.5, and to zone 0; a missing fare is 0."""

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.float64, name="fare"),
            tf.TensorSpec([None], tf.string, name="pick_up_city"),
            tf.TensorSpec([None], tf.bool, name="shared"),
            tf.TensorSpec([None], tf.int64, name="zone"),
        ]
    )
    def serve(self, fare, pick_up_city, shared, zone):
        known = tf.where(tf.math.is_nan(fare), tf.zeros_like(fare), fare)
        bonus = tf.where(pick_up_city == MISSING_STRING, -0.5, tf.where(shared, 0.25, 0.0))
        score = tf.cast(known, tf.float32) - 1.5 + bonus + tf.where(zone == 0, 2.0, 0.0)
        positive = tf.sigmoid(score)
        shares = tf.stack([1 - positive, positive], 1)
        return {"prediction": tf.gather(tf.constant([3, 7], tf.int64), tf.argmax(shares, 1)), "probabilities": shares}


def write_prepared(folder: Path) -> PreparedSpec:
    folder.mkdir()
    spec = PreparedSpec(
        "rides", Task.BINARY, INPUTS, (3, 7), (1.0, 1.0), 0.0, 1.0, ("fare",), None, {"train": 600, "validation": 300},
        "d" * 64, "id", "label",
    )  # fmt: skip
    write_json(folder / PREPARED_FILE, spec)
    for split, count, seed in (("train", 600, 1), ("validation", 300, 2)):
        rng = np.random.default_rng(seed)
        fare = np.where(rng.random(count) < 0.2, 0.0, rng.gamma(2.0, 1.0, count))
        city = rng.choice(["Oslo", "", "Bergen"], count).astype(object)
        if split == "validation":
            city[0] = "Atlantis"  # no city of the train split
        table = pa.table(
            {
                "id": [f"{split}-{place}" for place in range(count)],
                "fare": pa.array(fare, mask=rng.random(count) < 0.1),
                "pick up city": pa.array(city, mask=rng.random(count) < 0.1),
                "shared": rng.random(count) < 0.3,
                "zone": rng.poisson(2, count),
                "label": np.where(fare + rng.normal(0, 1, count) > 1.5, 7, 3),
            }
        )
        pq.write_table(table, folder / f"{split}.parquet")
    return spec


def main(root: Path) -> None:
    spec = write_prepared(root / "prepared")
    rule, product = Rule(), root / "product"
    tf.saved_model.save(rule, str(product / "savedmodel"), {"serving_default": rule.serve})
    (product / "signature.json").write_text("{}")
    shutil.copytree(product / "savedmodel", root / "model/Format-Serving")
    parameters = {"slices": ("shared",), "thresholds": THRESHOLDS}
    task = TrainingTask(
        "rides", "rides-tfx", "tfx", "mlp", spec, root / "prepared", root / "out", root / "kept", parameters, 1, 1
    )
    examples = PreparedExampleGen(root / "prepared", EXACT)
    statistics = tfx.components.StatisticsGen(examples=examples.outputs["examples"])
    schema = tfx.components.SchemaGen(
        statistics=statistics.outputs["statistics"], infer_feature_shape=False, exclude_splits=["eval"]
    )
    validator = tfx.components.ExampleValidator(
        statistics=statistics.outputs["statistics"], schema=schema.outputs["schema"]
    )
    model = tfx.dsl.Importer(source_uri=str(root / "model"), artifact_type=standard_artifacts.Model).with_id("Model")
    evaluator = make_evaluator(task, examples.outputs["examples"], model.outputs["result"])
    metadata, artifacts = root / "metadata.sqlite", root / "artifacts"
    tfx.orchestration.LocalDagRunner().run(
        tfx.dsl.Pipeline(
            pipeline_name="analysis",
            pipeline_root=str(artifacts),
            components=[examples, statistics, schema, validator, model, evaluator],
            metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(str(metadata)),
            enable_cache=False,
            beam_pipeline_args=["--direct_running_mode=in_memory"],
        )
    )

    def folder(name: str) -> Path:
        (found,) = artifacts.glob(f"{name}/*")
        return found

    write_json(root / "statistics.json", read_statistics(folder("StatisticsGen/statistics")))
    write_json(root / "anomalies.json", read_anomalies(folder("ExampleValidator/anomalies")))
    write_json(root / "lineage.json", read_lineage(metadata))
    analysis = read_analysis(folder("Evaluator/evaluation"), folder("Evaluator/blessing"), task, product)
    write_json(root / "analysis.json", analysis)
    (product / "savedmodel/fingerprint.pb").write_bytes(b"another")
    try:
        read_analysis(folder("Evaluator/evaluation"), folder("Evaluator/blessing"), task, product)
    except Exception as error:
        (root / "refusal.txt").write_text(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
