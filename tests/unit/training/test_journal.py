"""The course of a training: the best epoch, patience, checkpoints, interruptions."""

import json
import math
import os
import signal

import pytest

from components.errors import StageCancelledError, TrainingError
from components.training.core.journal import EpochJournal


def course(journal, losses, save=lambda folder: None):
    """Run a training whose validation losses are given, and return the epochs that were run."""
    epochs = []
    for epoch in journal.remaining_epochs():
        journal.record(epoch, {"loss": 1.0, "val_loss": losses[epoch - 1]})
        journal.checkpoint(epoch, save)
        epochs.append(epoch)
    return epochs


def stored(task):
    return [json.loads(line) for line in (task.output_dir / "metrics.jsonl").read_text().splitlines()]


def test_training_runs_all_epochs_without_patience(make_task):
    with EpochJournal(make_task()) as journal:
        assert course(journal, [1, 2, 3, 4, 5]) == [1, 2, 3, 4, 5]
        assert (journal.epochs_run, journal.best_epoch) == (5, 1)


def test_patience_counts_from_the_best_epoch(make_task):
    with EpochJournal(make_task(epochs=50, patience=2)) as journal:
        assert course(journal, [5, 4, 6, 3, 7, 7, 1]) == [1, 2, 3, 4, 5, 6]
        assert journal.best_epoch == 4


def test_equal_loss_is_no_improvement(make_task):
    with EpochJournal(make_task(patience=1)) as journal:
        assert course(journal, [1.0, 1.0, 1.0]) == [1, 2]


@pytest.mark.parametrize("name", ["loss", "val_loss"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_loss_that_is_no_number_ends_the_training_and_is_in_the_stream(make_task, name, value):
    task = make_task()
    with EpochJournal(task) as journal, pytest.raises(TrainingError, match=f"`{name}` is {value} in epoch 1"):
        journal.record(1, {"loss": 1.0, "val_loss": 1.0, name: value})

    assert {"step": 1, "name": name, "value": None} in stored(task)


def test_next_training_goes_on_after_the_newest_checkpoint(make_task):
    task = make_task(patience=3)

    def save(folder):
        (folder / "weights").write_text("after the epoch")

    with pytest.raises(ZeroDivisionError), EpochJournal(task) as journal:
        for epoch in journal.remaining_epochs():
            journal.record(epoch, {"loss": 1.0, "val_loss": [1.0, 2.0, 3.0][epoch - 1]})
            if epoch == 3:
                raise ZeroDivisionError  # died after recording, before storing
            journal.checkpoint(epoch, save)

    with EpochJournal(task) as journal:
        assert (journal.resumed_from_epoch, journal.best_epoch) == (2, 1)
        assert (journal.resumed_state / "weights").read_text() == "after the epoch"
        assert course(journal, [1.0, 2.0, 3.0, 4.0]) == [3, 4]
    assert [line["value"] for line in stored(task) if line["name"] == "val_loss"] == [1.0, 2.0, 3.0, 4.0]


def test_checkpoint_that_was_cut_off_is_not_used(make_task):
    task = make_task(epochs=3)

    def fail(folder):
        (folder / "weights").write_text("half")
        raise OSError

    with EpochJournal(task) as journal, pytest.raises(OSError):
        course(journal, [1, 2, 3], fail)

    with EpochJournal(task) as journal:
        assert journal.resumed_from_epoch == 0


def test_only_the_newest_checkpoint_is_kept(make_task):
    task = make_task()
    with EpochJournal(task) as journal:
        course(journal, [1, 2, 3, 4, 5])

    assert [path.name for path in task.checkpoint_dir.iterdir()] == ["epoch-00000005"]


def test_checkpoints_are_as_far_apart_as_was_asked(make_task):
    task = make_task(checkpoint_every_s=3600.0)
    with EpochJournal(task) as journal:
        course(journal, [1, 2, 3, 4, 5])

    assert not task.checkpoint_dir.exists()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_interruption_waits_for_the_epoch_and_stores_it(make_task, signum):
    task = make_task(checkpoint_every_s=3600.0)
    with EpochJournal(task) as journal, pytest.raises(StageCancelledError, match="after epoch 2"):
        for epoch in journal.remaining_epochs():
            if epoch == 2:
                os.kill(os.getpid(), signum)
            journal.record(epoch, {"loss": 1.0, "val_loss": 1.0})
            journal.checkpoint(epoch, lambda folder: None)

    with EpochJournal(task) as journal:
        assert journal.resumed_from_epoch == 2


def test_signals_are_given_back(make_task):
    before = signal.getsignal(signal.SIGTERM)
    with EpochJournal(make_task()):
        assert signal.getsignal(signal.SIGTERM) != before

    assert signal.getsignal(signal.SIGTERM) == before
