"""Drift of predictions, and a split of the traffic that is not what was asked for."""

from __future__ import annotations

import random

import pytest

from components.serving.board import Board, rollout_board
from tests.judges import CANARY, CANARY_SPLIT, ERROR, STABLE, ask, judges, number, word
from tests.machine_faults import no_space


@pytest.mark.parametrize("outputs", [number, lambda value: word("yes", value / 10)], ids=["numbers", "probabilities"])
@pytest.mark.parametrize(("shift", "is_far"), [(0.0, False), (3.0, True)])
def test_drift_is_found_by_all_workers_together(tmp_path, outputs, shift, is_far):
    several = judges(tmp_path, workers=3)
    chance = random.Random(8)
    for turn in range(900):
        judge = several[turn % 3]
        ask(judge, outputs=outputs(chance.uniform(0, 5)))
        ask(judge, CANARY, outputs=outputs(chance.uniform(0, 5) + shift))
        if turn == 150:
            assert judge.report().drift.psi is None, "insufficient"
    for judge in several:
        judge.flush()
    drift = several[0].report().drift
    assert drift.rows == 900
    assert (drift.psi > 0.2) == is_far


def test_bins_are_chosen_once_all_workers_together_saw_enough(tmp_path):
    several = judges(tmp_path, workers=3)
    board = Board(tmp_path, 0, 3).rollout(CANARY_SPLIT)
    for turn in range(297):
        ask(several[turn % 3], outputs=number(turn % 100))
        if turn % 10 == 0:
            for judge in several:
                judge.flush()
    for judge in several:
        judge.flush()
    assert board.edges() is None
    assert len(board.sample()) == 297
    for judge in several:
        ask(judge, outputs=number(50.0))
        judge.flush()
    assert len(board.edges()) == 9


def test_a_split_that_is_off_is_noticed(tmp_path):
    (judge,) = judges(tmp_path)
    for turn in range(1_000):
        ask(judge, CANARY if turn % 20 == 0 else STABLE)
    assert judge.report().split_p > 0.5
    for _ in range(100):
        ask(judge, CANARY)
    assert judge.report().split_p < 1e-4


def test_once_stopped_the_split_says_nothing(tmp_path):
    (judge,) = judges(tmp_path)
    for _ in range(100):
        ask(judge, CANARY, ERROR)
    assert judge.weight == 0
    assert judge.report().split_p is None


def test_bins_that_a_full_disk_refuses_are_chosen_later_and_nothing_else_is_lost(tmp_path, monkeypatch, caplog):
    (judge,) = judges(tmp_path, psi_min=20)
    with monkeypatch.context() as patch:
        patch.setattr(rollout_board, "write_once", no_space)
        for turn in range(40):
            ask(judge, outputs=number(turn))
            ask(judge, CANARY, outputs=number(turn))
            judge.flush()
        report = judge.report()
        assert (report.stable.requests, report.canary.requests, report.drift.rows) == (40, 40, 0)
    assert caplog.text.count("No space left on device") == 1
    assert judge.report().drift.rows == 40


def test_a_judge_ends_also_where_its_last_counts_cannot_be_kept(tmp_path, monkeypatch, caplog):
    (judge,) = judges(tmp_path)
    with judge.running(CANARY):
        monkeypatch.setattr(judge, "flush", lambda: no_space(tmp_path))
        judge.close()
        assert judge._rollout.own["running"].sum() == 0
    assert "its last counts could not be kept" in caplog.text
