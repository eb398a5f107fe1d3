"""A `run_fn` for a number, on the features of our own Transform; the tests put it among the architectures."""

import tensorflow as tf
import tensorflow_transform as tft
from tfx_bsl.public import tfxio

PARAMETERS = ()


def run_fn(fn_args):
    transform = tft.TFTransformOutput(fn_args.transform_output)
    options = tfxio.TensorFlowDatasetOptions(batch_size=200, label_key="target", shuffle=False)
    rows = fn_args.data_accessor.tf_dataset_factory(
        fn_args.train_files, options, transform.transformed_metadata.schema
    ).repeat()
    width = transform.transformed_feature_spec()["features"].shape[0]
    model = tf.keras.Sequential([tf.keras.Input((width,)), tf.keras.layers.Dense(1)])
    model.compile("adam", "mse")
    model.fit(rows.map(lambda row, target: (row["features"], target)), steps_per_epoch=100, verbose=0)
    model.tft_layer = transform.transform_features_layer()
    task = fn_args.custom_config["task"]
    mean, scale = task["spec"]["target_mean"], task["spec"]["target_scale"]

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
    def serve(serialized):
        raw = tf.io.parse_example(serialized, transform.raw_feature_spec())
        return {"prediction": model(model.tft_layer(raw)["features"]) * scale + mean}

    tf.saved_model.save(model, fn_args.serving_model_dir, signatures={"serving_default": serve})
