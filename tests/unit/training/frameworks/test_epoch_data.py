"""What an epoch goes through, and what its outcome is worth: numpy alone."""

import dataclasses

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss, root_mean_squared_error

from components.training.core import blocks
from components.training.core.blocks import feature_blocks, training_blocks
from components.training.core.prepared_data import PreparedSplit, train_split, validation_split
from components.training.core.scores import validation_scores
from components.types.dataset import Task


def test_an_epoch_goes_through_every_row_once_with_its_own_target(toy_task, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 100 * 6 * 4)
    split = train_split(toy_task)
    found = list(training_blocks(toy_task, split, 1, 32))
    assert [len(features) for features, _ in found] == [96, 96, 96, 96, 66]
    features, target = (np.concatenate(parts) for parts in zip(*found, strict=True))
    where = {row.tobytes(): index for index, row in enumerate(np.asarray(split.features))}
    order = [where[row.tobytes()] for row in features]
    assert sorted(order) == list(range(split.rows)) != order
    assert (target == split.target[order]).all()


def test_the_order_depends_on_the_seed_and_the_epoch_alone(toy_task):
    split = train_split(toy_task)
    first, again, next_epoch = (next(training_blocks(toy_task, split, epoch, 32))[0] for epoch in (1, 1, 2))
    other = next(training_blocks(dataclasses.replace(toy_task, seed=6), split, 1, 32))[0]
    assert (first == again).all()
    assert not (first == next_epoch).all()
    assert not (first == other).all()


def test_rows_carry_the_weight_of_their_class(weighted):
    features, target, weights = next(training_blocks(weighted, train_split(weighted), 1, 32))
    assert len(features) == len(weights)
    assert (weights == np.where(target == 1, np.float32(2.0), np.float32(0.5))).all()


def test_the_features_are_not_read_as_a_whole_and_a_change_stays_in_memory(toy_task):
    split = train_split(toy_task)
    assert isinstance(split.features, np.memmap)
    split.features[0] = 99.0
    assert not (np.load(toy_task.prepared_dir / "train.features.npy")[0] == 99.0).any()


def test_features_come_in_their_own_order(toy_task, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 100 * 6 * 4)
    split = validation_split(toy_task)
    assert (np.concatenate(list(feature_blocks(split))) == split.features).all()


def test_the_scores_are_those_of_scikit_learn(toy_task, weighted):
    split = validation_split(toy_task)
    logits = np.random.default_rng(0).normal(size=(split.rows, 2)).astype(np.float32)
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    scores = validation_scores(toy_task, logits, split)
    assert scores["val_loss"] == pytest.approx(log_loss(split.target, chances), rel=1e-5)
    assert scores["val_accuracy"] == accuracy_score(split.target, logits.argmax(axis=1))
    row_weights = np.where(split.target == 1, 2.0, 0.5)
    expected = log_loss(split.target, chances, sample_weight=row_weights) * row_weights.mean()
    assert validation_scores(weighted, logits, split)["val_loss"] == pytest.approx(expected, rel=1e-5)


def test_a_regression_is_scored_in_the_targets_units(toy_task):
    spec = dataclasses.replace(toy_task.spec, task=Task.REGRESSION, classes=(), target_scale=4.0)
    task = dataclasses.replace(toy_task, spec=spec)
    target = np.array([0.0, 1.0, -1.0], dtype=np.float32)
    output = np.array([[0.5], [1.0], [1.0]], dtype=np.float32)
    scores = validation_scores(task, output, PreparedSplit(np.zeros((3, 6), np.float32), target))
    assert scores["val_rmse"] == pytest.approx(root_mean_squared_error(target * 4, output[:, 0] * 4))


def test_an_output_that_is_no_number_has_a_loss_that_is_none(toy_task):
    split = validation_split(toy_task)
    logits = np.full((split.rows, 2), np.nan, dtype=np.float32)
    assert np.isnan(validation_scores(toy_task, logits, split)["val_loss"])
