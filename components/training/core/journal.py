"""What every trainer does after an epoch: record, remember the best, checkpoint, stop. Knows no framework.

with EpochJournal(task) as journal:
    if journal.resumed_state:                 # a folder that `save` below has filled
        load_state(journal.resumed_state)
    for epoch in journal.remaining_epochs():
        ...
        if journal.record(epoch, {"loss": …, "val_loss": …, "val_accuracy": …}):
            best = copy_of_weights()
        journal.checkpoint(epoch, save)       # save(folder): the last weights, the best weights, the optimiser
"""

from __future__ import annotations

import math
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from components.errors import StageCancelledError, TrainingError
from components.stage.progress import MetricsStream
from components.training.core.checkpoints import FRAMEWORK_DIR, Checkpoints
from components.training.core.event_files import EventFiles
from components.training.core.protocol import tensorboard_dir
from components.types.training import METRICS_FILE, TrainingTask

MONITORED = "val_loss"
"""The metric that chooses the epoch; lower is better."""


class EpochJournal:
    """The course of one training, which goes on where a killed one stopped."""

    epochs_run: int = 0
    best_epoch: int = 0
    resumed_from_epoch: int = 0
    resumed_state: Path | None = None
    """The folder that `checkpoint`'s `save` filled in the training that was killed."""

    def __init__(self, task: TrainingTask, epochs: int | None = None) -> None:
        """Prepare the journal.

        Args:
            task: Its ``checkpoint_every_s`` and, where declared, ``patience`` (None: no early stopping) hold.
            epochs: How many at most; the parameter ``epochs`` if not given.
        """
        self._task = task
        self._epochs = int(_number(task, "epochs")) if epochs is None else epochs
        self._patience = _patience(task)
        self._every_s = _number(task, "checkpoint_every_s")
        self._checkpoints = Checkpoints(task.checkpoint_dir)
        self._metrics_path = task.output_dir / METRICS_FILE
        self._best_loss = math.inf
        self._interrupted = False
        self._saved_at_s = time.monotonic()
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Read the newest checkpoint, open the streams, and put interruptions off to the end of an epoch."""
        self._restore()
        resumed = self.resumed_from_epoch > 0
        self._stream = MetricsStream(self._metrics_path, append=resumed)
        self._events = EventFiles(tensorboard_dir(self._task), resumed=resumed)
        if resumed:
            self._stream.note(f"{self._task.training} goes on after epoch {self.resumed_from_epoch}")
        for signum in (signal.SIGTERM, signal.SIGINT):
            self._handlers[signum] = signal.signal(signum, self._interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the streams and give the signals back."""
        for signum, handler in self._handlers.items():
            signal.signal(signum, handler)
        self._events.close()
        self._stream.close()

    def remaining_epochs(self) -> Iterator[int]:
        """Give the epochs that are still to run, from 1 or after the resumed one, until patience is at its end."""
        while self.epochs_run < self._epochs and not self.should_stop:
            yield self.epochs_run + 1

    @property
    def epochs(self) -> int:
        """How many epochs there are at most."""
        return self._epochs

    @property
    def should_stop(self) -> bool:
        """Whether the monitored loss has not improved for `patience` epochs."""
        return self.epochs_run - self.best_epoch >= self._patience

    def record(self, epoch: int, metrics: Mapping[str, float]) -> bool:
        """Record the metrics of a finished epoch, and say whether it is the best so far.

        Args:
            epoch: From 1, without gaps.
            metrics: ``loss``, ``val_loss`` and whatever else is worth seeing.

        Raises:
            TrainingError: a loss is not a finite number.
        """
        for name, value in metrics.items():
            self._stream.metric(epoch, name, float(value))
            self._events.scalar(epoch, name, float(value))
        self._stream.epoch(epoch, self._epochs)
        for name in ("loss", MONITORED):
            if not math.isfinite(metrics[name]):
                raise TrainingError(
                    f"training {self._task.training}: `{name}` is {metrics[name]} in epoch {epoch}; lower the learning "
                    "rate, or look at the prepared features for extreme values"
                )
        self.epochs_run = epoch
        improved = metrics[MONITORED] < self._best_loss
        if improved:
            self.best_epoch, self._best_loss = epoch, float(metrics[MONITORED])
        return improved

    def checkpoint(self, epoch: int, save: Callable[[Path], None]) -> None:
        """Store the state when it is time, or when the process was asked to stop.

        Args:
            epoch: The epoch that `record` was just told of.
            save: Writes all that is needed to go on into the folder it is given.

        Raises:
            StageCancelledError: the process was asked to stop; the state is stored.
        """
        if self._interrupted or time.monotonic() - self._saved_at_s >= self._every_s:
            state = {"epoch": epoch, "best_epoch": self.best_epoch, "best_loss": self._best_loss}
            self._checkpoints.save(epoch, state, self._metrics_path, save)
            self._saved_at_s = time.monotonic()
        if self._interrupted:
            raise StageCancelledError(
                f"training {self._task.training} was interrupted after epoch {epoch}; run again to go on from there"
            )

    def _restore(self) -> None:
        checkpoint = self._checkpoints.latest()
        if checkpoint is None:
            return
        state = self._checkpoints.state(checkpoint)
        self.resumed_from_epoch = self.epochs_run = state["epoch"]
        self.best_epoch, self._best_loss = state["best_epoch"], state["best_loss"]
        self.resumed_state = checkpoint / FRAMEWORK_DIR
        shutil.copyfile(checkpoint / METRICS_FILE, self._metrics_path)

    def _interrupt(self, *_: object) -> None:
        """Remember it until the epoch ends; whoever asks kills the process if that takes too long."""
        self._interrupted = True


def _patience(task: TrainingTask) -> float:
    if "patience" not in task.parameters or task.parameters["patience"] is None:
        return math.inf
    return _number(task, "patience")


def _number(task: TrainingTask, name: str) -> float:
    value = task.parameters[name]
    if not isinstance(value, (int, float)):
        raise TypeError(f"{name} is {value!r}, expected a number")
    return value
