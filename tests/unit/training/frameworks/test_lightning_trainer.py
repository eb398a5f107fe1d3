"""Lightning, in processes of its own, as the train stage starts them."""

import json
import signal
from importlib.util import find_spec

import numpy as np
import pytest

from components.types.dataset import Task

pytestmark = [pytest.mark.slow, pytest.mark.skipif(find_spec("lightning") is None, reason="lightning is not installed")]

OWN_MODULE = """
import torch
from lightning.pytorch import LightningModule

PARAMETERS = {"options.momentum": 0.5}

class Own(LightningModule):
    def __init__(self, task):
        super().__init__()
        self.layer = torch.nn.Linear(task.spec.n_features, task.spec.n_outputs)
        self.parameters_told = task.parameters

    def forward(self, features):
        return self.layer(features)

    def training_step(self, batch, batch_idx):
        features, target = batch
        loss = torch.nn.functional.cross_entropy(self(features), target)
        self.log("own_metric", 7.0)
        return loss

    def configure_optimizers(self):
        momentum = self.parameters_told["options.momentum"]
        return torch.optim.SGD(self.parameters(), self.parameters_told["learning_rate"], momentum)

def build(task):
    return Own(task)
"""


@pytest.fixture
def workshop(make_workshop):
    return make_workshop("lightning")


def test_a_killed_training_ends_in_the_same_bytes_and_its_network_predicts_what_torch_predicts(workshop):
    changes = {"rows": 4000, "batch_size": 16, "epochs": 8, "dropout": 0.2, "checkpoint_every_s": 0.0}
    straight, killed = workshop.task("straight", **changes), workshop.task("killed", **changes)
    assert workshop.run("fit", straight) == ""
    assert workshop.interrupt_after(killed, 4, signal.SIGKILL) == -signal.SIGKILL
    resumed = workshop.fit(workshop.again(killed))
    assert resumed.resumed_from_epoch >= 3
    for task in (straight, killed):
        assert workshop.run("export", task) == ""
        assert workshop.parity(task) < 1e-5
    left = workshop.bytes_of(killed)
    assert left == workshop.bytes_of(straight)
    assert {"native/model.ckpt", "network.onnx"} < set(left)
    assert str(workshop.root).encode() not in left["network.onnx"]


def test_sigterm_leaves_a_checkpoint_and_one_sentence(workshop):
    task = workshop.task(rows=4000, batch_size=16, epochs=500)
    assert workshop.interrupt_after(task, 2, signal.SIGTERM) == 1
    assert json.loads((task.output_dir / "error.json").read_text())["kind"] == "StageCancelledError"
    assert list(task.checkpoint_dir.glob("epoch-*/framework/last.ckpt"))


def test_lightning_leaves_no_folder_of_its_own(workshop):
    before = set(workshop.root.iterdir())
    workshop.fit(workshop.task())
    assert {path.name for path in set(workshop.root.iterdir()) - before} == {"prepared-toy", "work", "reports"}


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


def test_a_module_of_the_users_own_keeps_its_step_its_optimiser_and_what_it_logs(workshop):
    own = workshop.write_architecture("own", OWN_MODULE)
    task = workshop.task(architecture=own, epochs=10, **{"options.momentum": 0.9})
    workshop.fit(task)
    workshop.run("export", task)
    assert workshop.parity(task) < 1e-5
    assert workshop.metrics(task, "own_metric") == [7.0] * 10
    assert workshop.metrics(task, "val_accuracy")[-1] > 0.9


def test_the_native_file_holds_nothing_but_weights(workshop):
    torch = pytest.importorskip("torch")
    trained = workshop.fit(workshop.task())
    checkpoint = torch.load(trained.native[0], weights_only=True)
    assert {"state_dict", "pytorch-lightning_version", "epoch"} <= set(checkpoint)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [("return nn.Linear(6, 1)", "expected (2, 2)"), ("return 'a network'", "expected a torch.nn.Module")],
)
def test_a_network_of_another_form_is_refused_before_it_is_trained(workshop, line, sentence):
    source = f"from torch import nn\nPARAMETERS = ()\ndef build(task):\n    {line}\n"
    error = workshop.refusal(workshop.task(architecture=workshop.write_architecture("odd", source)))
    assert error["kind"] == "ConfigError"
    assert sentence in error["message"]


def test_a_cnn_without_an_image_is_refused(workshop):
    error = workshop.refusal(workshop.task(architecture="cnn"))
    assert error["kind"] == "ConfigError"
    assert "needs an image" in error["message"]


def test_a_loss_that_is_no_number_is_said_in_a_sentence(workshop):
    error = workshop.refusal(workshop.task(kind=Task.REGRESSION, learning_rate=1e30))
    assert error["kind"] == "TrainingError"
    assert "lower the learning rate" in error["message"]
