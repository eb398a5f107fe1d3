"""Keras, in processes of its own, as the train stage starts them."""

import json
import signal
import zipfile
from importlib.util import find_spec

import numpy as np
import pytest

from components.types.dataset import Task

pytestmark = [pytest.mark.slow, pytest.mark.skipif(find_spec("keras") is None, reason="keras is not installed")]

OWN_MODEL = """
import keras
from keras import ops

PARAMETERS = {"options.gain": 2.0}

@keras.saving.register_keras_serializable("toy")
class Scaled(keras.layers.Layer):
    def __init__(self, gain, **rest):
        super().__init__(**rest)
        self.gain = gain

    def call(self, features):
        return features * self.gain

    def get_config(self):
        return {**super().get_config(), "gain": self.gain}

@keras.saving.register_keras_serializable("toy")
class Counting(keras.Model):
    def train_step(self, data):
        keras.config.floatx()
        open("own-step-was-used", "w").close()
        return super().train_step(data)

def build(task):
    features = keras.Input((task.spec.n_features,))
    hidden = Scaled(task.parameters["options.gain"])(features)
    return Counting(features, keras.layers.Dense(task.spec.n_outputs)(hidden))
"""

SPIED = """
import sys
import keras

PARAMETERS = ()

@keras.saving.register_keras_serializable("toy")
class Spied(keras.Model):
    def set_weights(self, weights):  # the last thing that happens in a training
        super().set_weights(weights)
        open("loaded", "w").write(" ".join(name for name, module in sys.modules.items() if module))

def build(task):
    features = keras.Input((task.spec.n_features,))
    return Spied(features, keras.layers.Dense(task.spec.n_outputs)(features))
"""

UNFIT = {
    "compiled": ("model.compile(loss='mse')", "compiled model"),
    "risky": ("model.add(keras.layers.Lambda(lambda x: x))", "Lambda layer"),
    "scaling": ("model.add(keras.layers.Normalization())", "Normalization layer"),
    "narrow": ("model.add(keras.layers.Dense(1))", "expected (1, 2)"),
    "string": ("model = 'a model'", "returned str, expected a keras.Model"),
}


@pytest.fixture
def workshop(make_workshop):
    return make_workshop("keras")


def test_a_killed_training_ends_in_the_same_bytes_and_its_network_predicts_what_keras_predicts(workshop):
    changes = {"rows": 8000, "batch_size": 16, "epochs": 10, "dropout": 0.2, "checkpoint_every_s": 0.0}
    straight, killed = workshop.task("straight", **changes), workshop.task("killed", **changes)
    workshop.fit(straight)
    assert workshop.interrupt_after(killed, 4, signal.SIGKILL) == -signal.SIGKILL
    resumed = workshop.fit(workshop.again(killed))
    assert resumed.resumed_from_epoch >= 3
    for task in (straight, killed):
        assert "oneDNN" not in workshop.run("export", task)
        assert workshop.parity(task) < 1e-5
    left = workshop.bytes_of(killed)
    assert left == workshop.bytes_of(straight)
    assert {"native/model.keras", "network.onnx"} < set(left)


def test_sigterm_leaves_a_checkpoint_and_one_sentence(workshop):
    task = workshop.task(rows=8000, batch_size=16, epochs=500)
    assert workshop.interrupt_after(task, 2, signal.SIGTERM) == 1
    assert json.loads((task.output_dir / "error.json").read_text())["kind"] == "StageCancelledError"
    assert list(task.checkpoint_dir.glob("epoch-*/framework/state.npz"))


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_another_backend_is_exported_through_tensorflow_and_loads_it_not(workshop, backend):
    pytest.importorskip(backend)
    task = workshop.task(backend=backend, architecture=workshop.write_architecture("spied", SPIED), learning_rate=0.1)
    trained = workshop.fit(task)
    workshop.run("export", task)
    assert f"on {backend}" in trained.framework
    assert workshop.parity(task) < 1e-4
    assert workshop.metrics(task, "val_accuracy")[-1] > 0.9
    assert "tensorflow" not in (workshop.root / "loaded").read_text().split()


def test_an_image_is_seen_as_one_and_its_classes_weigh_as_told(workshop):
    shape = {"image": (4, 4, 2), "kind": Task.MULTICLASS, "architecture": "cnn", "hidden": (8, 8), "epochs": 12}
    even, tilted = workshop.task("even", **shape), workshop.task("tilted", class_weights=(20.0, 0.1, 0.1), **shape)
    for task in (even, tilted):
        workshop.fit(task)
    workshop.run("export", even)
    assert workshop.parity(even) < 1e-4
    shares = [(np.load(t.output_dir / "validation_output.npy").argmax(axis=1) == 0).mean() for t in (even, tilted)]
    assert shares[1] > shares[0] + 0.2


def test_patience_ends_a_regression_and_the_best_epoch_is_kept(workshop):
    task = workshop.task(kind=Task.REGRESSION, epochs=200, patience=3, learning_rate=0.05, rows=200)
    trained = workshop.fit(task)
    losses = workshop.metrics(task, "val_loss")
    assert trained.epochs_run == len(losses) == trained.best_epoch + 3 < 200
    assert losses[trained.best_epoch - 1] == min(losses)
    target = np.load(task.prepared_dir / "validation.target.npy")
    kept = np.mean((np.load(task.output_dir / "validation_output.npy")[:, 0] - target) ** 2)
    assert kept == pytest.approx(min(losses), rel=1e-5)
    assert workshop.metrics(task, "val_rmse")[-1] == pytest.approx(losses[-1] ** 0.5 * 4.0)


def test_a_model_of_the_users_own_is_trained_by_its_own_step_and_exported(workshop):
    task = workshop.task(architecture=workshop.write_architecture("own", OWN_MODEL), **{"options.gain": 3.0})
    trained = workshop.fit(task)
    workshop.run("export", task)
    assert workshop.parity(task) < 1e-5
    assert (workshop.root / "own-step-was-used").exists()
    with zipfile.ZipFile(trained.native[0]) as file:
        assert b'"gain": 3.0' in file.read("config.json")


@pytest.mark.parametrize("name", UNFIT)
def test_a_network_that_cannot_be_exported_is_refused_before_it_is_trained(workshop, name):
    line, sentence = UNFIT[name]
    source = (workshop.root / "components/models/keras/linear.py").read_text()
    source = (
        source.replace("    return keras.Sequential(", "    model = keras.Sequential(")
        + f"    {line}\n    return model\n"
    )
    error = workshop.refusal(workshop.task(architecture=workshop.write_architecture(name, source)))
    assert error["kind"] == "ConfigError"
    assert sentence in error["message"]
    assert f"components/models/keras/{name}.py" in error["message"]


def test_a_loss_that_is_no_number_is_said_in_a_sentence(workshop):
    error = workshop.refusal(workshop.task(kind=Task.REGRESSION, learning_rate=1e30))
    assert error["kind"] == "TrainingError"
    assert "lower the learning rate" in error["message"]


def test_tensorboard_finds_the_metrics_outside_the_outputs(workshop):
    task = workshop.task()
    workshop.fit(task)
    (events,) = (workshop.root / "reports/toy/tensorboard/toy").iterdir()
    assert b"val_loss" in events.read_bytes()
