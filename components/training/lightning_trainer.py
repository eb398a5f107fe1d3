"""Fit a torch network with a real `lightning.Trainer`. Knows no architecture by name.

``build(task)`` returns a `torch.nn.Module`, which is trained with Adam on cross entropy or squared error, or a
`LightningModule`, which brings its own ``training_step`` and ``configure_optimizers``; its batches are
(features, target), or (features, target, weights) where classes are weighted.
"""

from __future__ import annotations

import copy
import logging
import os
import signal
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from components.errors import ConfigError
from components.training.core.architecture import architecture_path, build
from components.training.core.blocks import Array, feature_blocks, training_blocks
from components.training.core.journal import EpochJournal
from components.training.core.light_import import light_import
from components.training.core.prepared_data import PreparedSplit, train_split, validation_split
from components.training.core.protocol import native_dir, network_path, validation_output_path
from components.training.core.scores import validation_scores
from components.training.lightning.export import NETWORK_PREFIX
from components.types.training import TrainedModel, TrainingTask

with light_import("PIL", "matplotlib", "pandas", "scipy", "sklearn", "tensorflow"):
    import torch
    from lightning.pytorch import Callback, LightningModule, Trainer

PARAMETERS = ("batch_size", "device", "epochs", "learning_rate", "patience", "weight_decay")

NATIVE_FILE = "model.ckpt"
_LAST, _BEST = "last.ckpt", "best.pt"


class LightningTrainer:
    """Trains what ``build(task)`` returns: a `torch.nn.Module` or a `LightningModule`."""

    def fit(self, task: TrainingTask) -> TrainedModel:
        """Train, and write a Lightning checkpoint with its output on the validation split."""
        _settle(task)
        module = _module(task)
        validation = validation_split(task)
        with EpochJournal(task) as journal:
            course = _Course(task, journal, validation)
            _run(module, task, journal, course)
        module.load_state_dict(course.best_weights)
        native = native_dir(task) / NATIVE_FILE
        _write_checkpoint(module, journal, native)
        np.save(validation_output_path(task), _predict(module, validation))
        return TrainedModel(
            network=network_path(task),
            raw_product=None,
            native=(native,),
            validation_output=validation_output_path(task),
            framework=f"lightning {_lightning_version()} on torch {torch.__version__}",
            epochs_run=journal.epochs_run,
            best_epoch=journal.best_epoch,
            resumed_from_epoch=journal.resumed_from_epoch,
        )


class Supervised(LightningModule):
    """A plain network with its loss and its optimiser."""

    def __init__(self, network: torch.nn.Module, task: TrainingTask) -> None:
        """Wrap `network`."""
        super().__init__()
        self.network = network
        self._learning_rate = float(str(task.parameters["learning_rate"]))
        self._weight_decay = float(str(task.parameters["weight_decay"]))
        self._loss = _cross_entropy if task.spec.classes else _squared_error

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the network's output."""
        output: torch.Tensor = self.network(features)
        return output

    def training_step(self, batch: tuple[torch.Tensor, ...], _: int) -> torch.Tensor:
        """Return the loss of one batch."""
        features, target, *weights = batch
        return self._loss(self.network(features), target, weights)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Leave a batch on the CPU as it is; Lightning would look through it for tensors, at every step."""
        return batch if device.type == "cpu" else super().transfer_batch_to_device(batch, device, dataloader_idx)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "_current_fx_name":  # set several times a step: torch need not ask whether it is a weight
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam with its steps in one call for all weights."""
        return torch.optim.AdamW(self.parameters(), self._learning_rate, weight_decay=self._weight_decay, fused=True)


def _cross_entropy(output: torch.Tensor, target: torch.Tensor, weights: list[torch.Tensor]) -> torch.Tensor:
    if not weights:
        return torch.nn.functional.cross_entropy(output, target)
    return (torch.nn.functional.cross_entropy(output, target, reduction="none") * weights[0]).mean()


def _squared_error(output: torch.Tensor, target: torch.Tensor, _: list[torch.Tensor]) -> torch.Tensor:
    return torch.nn.functional.mse_loss(output[:, 0], target)


class _Batches:
    """Gives the batches of an epoch, sliced from tensors: what Lightning needs of a loader, and no more."""

    def __init__(self, task: TrainingTask, split: PreparedSplit, epoch: Callable[[], int]) -> None:
        self._task, self._split, self._epoch = task, split, epoch
        self._batch_rows = int(str(task.parameters["batch_size"]))

    def __len__(self) -> int:
        return -(-self._split.rows // self._batch_rows)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, ...]]:
        for block in training_blocks(self._task, self._split, self._epoch(), self._batch_rows):
            yield from zip(*(torch.from_numpy(part).split(self._batch_rows) for part in block), strict=True)


class _Course(Callback):
    """Tells the journal how each epoch went, and the trainer when to stop."""

    def __init__(self, task: TrainingTask, journal: EpochJournal, validation: PreparedSplit) -> None:
        self._task, self._journal, self._validation = task, journal, validation
        self._loss: Any = 0.0
        self._on_sigterm = signal.getsignal(signal.SIGTERM)
        self.best_weights: dict[str, Any] = {}

    def on_train_start(self, *_: Any) -> None:
        """Take back the signal, which Lightning would answer by leaving in the middle of an epoch."""
        signal.signal(signal.SIGTERM, self._on_sigterm)

    def on_train_epoch_start(self, trainer: Trainer, *_: Any) -> None:
        """Make what is random in an epoch depend on the seed and the epoch alone."""
        sequence = np.random.SeedSequence([self._task.seed, trainer.current_epoch + 1])
        torch.manual_seed(int(sequence.generate_state(1)[0]))
        self._loss = 0.0

    def on_train_batch_end(
        self, _trainer: Trainer, _module: LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        """Add up the loss of all rows."""
        self._loss = self._loss + outputs["loss"] * len(batch[0])

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record, remember the best, checkpoint, stop."""
        epoch = trainer.current_epoch + 1
        scores = {name: float(value) for name, value in trainer.callback_metrics.items()}
        scores |= {"loss": float(self._loss) / self._task.spec.rows["train"]}
        scores |= validation_scores(self._task, _predict(pl_module, self._validation), self._validation)
        if self._journal.record(epoch, scores):
            self.best_weights = copy.deepcopy(pl_module.state_dict())
        trainer.should_stop = self._journal.should_stop
        self._journal.checkpoint(epoch, partial(self._save, trainer))

    def resume(self, folder: Path) -> Path:
        """Take up the best weights so far, and return the checkpoint that the trainer goes on from."""
        self.best_weights = torch.load(folder / _BEST, weights_only=True)
        return folder / _LAST

    def _save(self, trainer: Trainer, folder: Path) -> None:
        trainer.save_checkpoint(folder / _LAST)
        torch.save(self.best_weights, folder / _BEST)


def _settle(task: TrainingTask) -> None:
    """Settle what is random, how many cores there are, and what Lightning may say."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it, CUDA is not deterministic
    torch.manual_seed(task.seed)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(task.threads)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _module(task: TrainingTask) -> LightningModule:
    """Return the user's network as a LightningModule, checked.

    Raises:
        ConfigError: it is no network for this task.
    """
    network, where = build(task), architecture_path(task.kind, task.architecture)
    if not isinstance(network, torch.nn.Module):
        raise ConfigError(f"{where}: build(task) returned {type(network).__name__}, expected a torch.nn.Module")
    module = network if isinstance(network, LightningModule) else Supervised(network, task)
    shape = tuple(_output(module, np.zeros((2, task.spec.n_features), np.float32)).shape)
    if shape != (2, task.spec.n_outputs):
        raise ConfigError(
            f"{where}: the network turns two rows into shape {shape}, expected (2, {task.spec.n_outputs}): "
            + ("one number (a logit, before any softmax) per class" if task.spec.classes else "one number each")
        )
    return module


def _run(module: LightningModule, task: TrainingTask, journal: EpochJournal, course: _Course) -> None:
    checkpoint = course.resume(journal.resumed_state) if journal.resumed_state else None
    if next(journal.remaining_epochs(), None) is None:
        return
    trainer = Trainer(
        accelerator="cpu" if task.parameters["device"] == "cpu" else "auto",
        devices=1,
        max_epochs=journal.epochs,
        callbacks=[course],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        deterministic=True,
    )
    batches: Any = _Batches(task, train_split(task), lambda: trainer.current_epoch + 1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*LeafSpec", FutureWarning)  # Lightning uses what torch is about to drop
        trainer.fit(module, batches, ckpt_path=checkpoint, weights_only=True)


def _predict(module: LightningModule, split: PreparedSplit) -> Array:
    """Return the network's output, float32 of shape (n_rows, n_outputs)."""
    return np.concatenate([_output(module, features) for features in feature_blocks(split)])


def _output(module: LightningModule, features: Array) -> Array:
    was_training = module.training
    module.eval()
    with torch.inference_mode():
        output: Array = module(torch.from_numpy(features).to(module.device)).float().cpu().numpy()
    module.train(was_training)
    return output


def _write_checkpoint(module: LightningModule, journal: EpochJournal, path: Path) -> None:
    """Write what `LightningModule.load_from_checkpoint` reads, with nothing in it that differs from run to run."""
    content = {
        "epoch": journal.best_epoch,
        "pytorch-lightning_version": _lightning_version(),
        "state_dict": module.state_dict(),
        NETWORK_PREFIX: "network." if isinstance(module, Supervised) else "",
    }
    torch.save(content, path)


def _lightning_version() -> str:
    import lightning

    return str(lightning.__version__)
