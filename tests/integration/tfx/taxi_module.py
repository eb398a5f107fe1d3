"""A module as TFX's taxi template has it; the tests put it into a project as an architecture of its own."""

import tensorflow as tf
import tensorflow_transform as tft
from tfx_bsl.public import tfxio

PARAMETERS = ("batch_size", "epochs")
LABEL_KEY = "tipped"
DENSE_KEYS = ("fare", "miles")
VOCAB_KEYS = ("company",)
CATEGORY_KEYS = ("month", "night")
VOCAB_SIZE, OOV_SIZE = 5, 2


def name_of(key):
    return key + "_xf"


def fill_in_missing(feature):
    if not isinstance(feature, tf.SparseTensor):
        return feature
    default = "" if feature.dtype == tf.string else 0
    shape = [feature.dense_shape[0], 1]
    dense = tf.sparse.to_dense(tf.SparseTensor(feature.indices, feature.values, shape), default)
    return tf.squeeze(dense, axis=1)


def preprocessing_fn(inputs):
    outputs = {name_of(key): tft.scale_to_z_score(fill_in_missing(inputs[key])) for key in DENSE_KEYS}
    for key in VOCAB_KEYS:
        outputs[name_of(key)] = tft.compute_and_apply_vocabulary(
            fill_in_missing(inputs[key]), top_k=VOCAB_SIZE, num_oov_buckets=OOV_SIZE
        )
    for key in CATEGORY_KEYS:
        outputs[name_of(key)] = fill_in_missing(inputs[key])
    outputs[name_of(LABEL_KEY)] = tf.cast(tf.equal(inputs[LABEL_KEY], "yes"), tf.int64)
    return outputs


def input_fn(files, data_accessor, transform, batch_size):
    options = tfxio.TensorFlowDatasetOptions(batch_size=batch_size, label_key=name_of(LABEL_KEY), shuffle=False)
    return data_accessor.tf_dataset_factory(files, options, transform.transformed_metadata.schema).repeat()


def make_model():
    dense = {name_of(key): tf.keras.layers.Input((1,), name=name_of(key)) for key in DENSE_KEYS}
    sizes = {"company": VOCAB_SIZE + OOV_SIZE, "month": 13, "night": 2}
    wide = {name_of(key): tf.keras.layers.Input((1,), name=name_of(key), dtype="int32") for key in sizes}
    codes = [tf.keras.layers.CategoryEncoding(sizes[key])(wide[name_of(key)]) for key in sizes]
    hidden = tf.keras.layers.Dense(16, "relu")(tf.keras.layers.concatenate([*dense.values(), *codes]))
    model = tf.keras.Model({**dense, **wide}, tf.keras.layers.Dense(1, "sigmoid")(hidden))
    model.compile("adam", "binary_crossentropy", metrics=["binary_accuracy"])
    return model


def serving_signature(model, transform):
    model.tft_layer_inference = transform.transform_features_layer()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
    def serve(serialized):
        raw_feature_spec = transform.raw_feature_spec()
        raw_feature_spec.pop(LABEL_KEY)
        raw = tf.io.parse_example(serialized, raw_feature_spec)
        return {"outputs": model(model.tft_layer_inference(raw))}

    return serve


def run_fn(fn_args):
    transform = tft.TFTransformOutput(fn_args.transform_output)
    train = input_fn(fn_args.train_files, fn_args.data_accessor, transform, 200)
    evaluation = input_fn(fn_args.eval_files, fn_args.data_accessor, transform, 100)
    model = make_model()
    model.fit(train, steps_per_epoch=fn_args.train_steps, validation_data=evaluation, validation_steps=5, verbose=0)
    signatures = {"serving_default": serving_signature(model, transform)}
    tf.saved_model.save(model, fn_args.serving_model_dir, signatures=signatures)
