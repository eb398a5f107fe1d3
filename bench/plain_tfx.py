"""A TFX pipeline as a person would write it down, by hand: the same components, data and network as kind `tfx` has.

    python bench/plain_tfx.py FOLDER EPOCHS

`FOLDER` holds ``csv/train/*.csv`` and ``csv/eval/*.csv`` with the column ``target`` (0 or 1). Runs in the TFX
environment; functions are named by their path, because a module file would have pip build a package of it first.
Imports nothing of Towpath.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import tensorflow as tf
import tensorflow_model_analysis as tfma
import tensorflow_transform as tft
from tfx import v1 as tfx
from tfx.proto import example_gen_pb2
from tfx_bsl.public import tfxio

NUMBERS = ("fare", "trip_miles", "trip_seconds", "pickup_latitude", "pickup_longitude")
NUMBERS += ("dropoff_latitude", "dropoff_longitude")
TEXTS = ("payment_type", "company")
COUNTS = ("pickup_community_area", "dropoff_community_area", "trip_start_hour", "trip_start_day", "trip_start_month")
LABEL = "target"
BATCH, HIDDEN = 256, (64, 32)


def _dense(values, filler):
    if not isinstance(values, tf.sparse.SparseTensor):
        return tf.squeeze(values, 1)
    shape = [values.dense_shape[0], 1]
    return tf.squeeze(tf.sparse.to_dense(tf.SparseTensor(values.indices, values.values, shape), filler), 1)


def preprocessing_fn(inputs):
    outputs = {}
    for name in (*NUMBERS, *COUNTS):
        outputs[name] = tft.scale_to_z_score(_dense(tf.cast(inputs[name], tf.float32), 0.0))
    for name in TEXTS:
        numbers = tft.compute_and_apply_vocabulary(_dense(inputs[name], ""), top_k=100, num_oov_buckets=1)
        outputs[name] = tf.one_hot(numbers, 101)
    outputs[LABEL] = _dense(inputs[LABEL], 0)
    return outputs


def _network(spec):
    inputs = {name: tf.keras.Input((101,) if name in TEXTS else (1,), name=name) for name in spec}
    x = tf.keras.layers.Concatenate()(list(inputs.values()))
    for width in HIDDEN:
        x = tf.keras.layers.Dense(width, "relu")(x)
    network = tf.keras.Model(inputs, tf.keras.layers.Dense(1, "sigmoid")(x))
    network.compile(tf.keras.optimizers.Adam(1e-3), "binary_crossentropy", metrics=["AUC"], steps_per_execution=50)
    return network


def run_fn(fn_args):
    transform = tft.TFTransformOutput(fn_args.transform_output)

    def rows(files, repeat):
        options = tfxio.TensorFlowDatasetOptions(batch_size=BATCH, label_key=LABEL, num_epochs=None if repeat else 1)
        return fn_args.data_accessor.tf_dataset_factory(files, options, transform.transformed_metadata.schema)

    names = [*NUMBERS, *COUNTS, *TEXTS]
    network = _network(names)
    epochs = fn_args.custom_config["epochs"]
    steps = fn_args.custom_config["rows"] // BATCH
    network.fit(
        rows(fn_args.train_files, True),
        epochs=epochs,
        steps_per_epoch=steps,
        validation_data=rows(fn_args.eval_files, False),
        verbose=0,
    )
    network.tft_layer = transform.transform_features_layer()
    spec = transform.raw_feature_spec()
    spec.pop(LABEL)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serve(examples):
        features = network.tft_layer(tf.io.parse_example(examples, spec))
        return {"probability": network({name: features[name] for name in names})}

    tf.saved_model.save(network, fn_args.serving_model_dir, signatures={"serving_default": serve})


def pipeline(folder: Path, epochs: int, rows: int):
    splits = [example_gen_pb2.Input.Split(name=name, pattern=f"{name}/*.csv") for name in ("train", "eval")]
    examples = tfx.components.CsvExampleGen(
        input_base=str(folder / "csv"), input_config=example_gen_pb2.Input(splits=splits)
    )
    statistics = tfx.components.StatisticsGen(examples=examples.outputs["examples"])
    schema = tfx.components.SchemaGen(statistics=statistics.outputs["statistics"], infer_feature_shape=False)
    validator = tfx.components.ExampleValidator(
        statistics=statistics.outputs["statistics"], schema=schema.outputs["schema"]
    )
    transform = tfx.components.Transform(
        examples=examples.outputs["examples"],
        schema=schema.outputs["schema"],
        preprocessing_fn="plain_tfx.preprocessing_fn",
    )
    trainer = tfx.components.Trainer(
        run_fn="plain_tfx.run_fn",
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        schema=schema.outputs["schema"],
        train_args=tfx.proto.TrainArgs(),
        eval_args=tfx.proto.EvalArgs(),
        custom_config={"epochs": epochs, "rows": rows},
    )
    bound = tfma.MetricThreshold(value_threshold=tfma.GenericValueThreshold(lower_bound={"value": 0.5}))
    evaluator = tfx.components.Evaluator(
        examples=examples.outputs["examples"],
        model=trainer.outputs["model"],
        eval_config=tfma.EvalConfig(
            model_specs=[tfma.ModelSpec(label_key=LABEL, signature_name="serving_default")],
            slicing_specs=[tfma.SlicingSpec()],
            metrics_specs=[tfma.MetricsSpec(metrics=[tfma.MetricConfig(class_name="AUC", threshold=bound)])],
        ),
    )
    pusher = tfx.components.Pusher(
        model=trainer.outputs["model"],
        model_blessing=evaluator.outputs["blessing"],
        push_destination=tfx.proto.PushDestination(
            filesystem=tfx.proto.PushDestination.Filesystem(base_directory=str(folder / "pushed"))
        ),
    )
    return tfx.dsl.Pipeline(
        pipeline_name="plain",
        pipeline_root=str(folder / "root"),
        metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
            str(folder / "metadata.sqlite")
        ),
        components=[examples, statistics, schema, validator, transform, trainer, evaluator, pusher],
        enable_cache=False,
        beam_pipeline_args=["--direct_running_mode=in_memory", "--direct_num_workers=1"],
    )


if __name__ == "__main__":
    where, epochs_asked = Path(sys.argv[1]), int(sys.argv[2])
    n_rows = sum(len(file.read_text().splitlines()) - 1 for file in (where / "csv/train").glob("*.csv"))
    tfx.orchestration.LocalDagRunner().run(pipeline(where, epochs_asked, n_rows))
    if not list((where / "pushed").glob("*/saved_model.pb")):
        raise SystemExit("the model was not pushed")
