"""Workers that die while a version computes: its failure, counted once."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

from components.serving.board import Board
from components.serving.judging import LiveJudge
from components.types.release import JudgeSettings, Role, TrafficSplit
from tests.judges import CANARY, CANARY_SPLIT, SHADOW_SPLIT, all_kinds, ask, judges

_unending: list[object] = []


def start_computing(judge: LiveJudge, role: Role) -> None:
    """Compute for ever: whoever forgets the mark would take it back."""
    mark = judge.running(role)
    mark.__enter__()
    _unending.append(mark)


def die_computing(folder: Path, split: TrafficSplit, role: Role, worker: int = 0) -> None:
    judge = LiveJudge(Board(folder, worker, 2), split, JudgeSettings())
    start_computing(judge, role)


def test_a_worker_that_crashes_while_the_canary_computes_stops_it(tmp_path):
    die_computing(tmp_path, CANARY_SPLIT, CANARY, worker=1)
    other = LiveJudge(Board(tmp_path, 0, 2), CANARY_SPLIT, JudgeSettings())
    assert other.weight == 5
    successor = LiveJudge(Board(tmp_path, 1, 2, -signal.SIGSEGV), CANARY_SPLIT, JudgeSettings())
    assert successor.weight == other.weight == 0
    assert "died of SIGSEGV while the canary, version 4, computed" in other.report().breaker
    assert other.report().canary.bad == all_kinds(server_error=1)


def test_a_worker_that_was_killed_while_the_canary_computed_is_one_failure_of_it(tmp_path):
    (judge,) = judges(tmp_path)
    for _ in range(60):
        ask(judge)
    judge.flush()
    for expected in (5, 5, 0):
        die_computing(tmp_path, CANARY_SPLIT, CANARY)
        judge = LiveJudge(Board(tmp_path, 0, 2, -signal.SIGKILL), CANARY_SPLIT, JudgeSettings())
        assert judge.weight == expected
    assert judge.report().canary.bad == all_kinds(server_error=3)


def test_a_machine_that_went_down_with_all_workers_is_one_failure(tmp_path):
    for worker in (0, 1):
        die_computing(tmp_path, CANARY_SPLIT, CANARY, worker)
    several = judges(tmp_path, workers=2)
    assert several[0].report().canary.bad == all_kinds(server_error=1)
    assert several[0].weight == 5


def test_a_crashing_shadow_is_stopped_as_well(tmp_path):
    die_computing(tmp_path, SHADOW_SPLIT, Role.SHADOW)
    judge = LiveJudge(Board(tmp_path, 0, 2, -signal.SIGABRT), SHADOW_SPLIT, JudgeSettings())
    assert judge.stopped
    assert "died of SIGABRT while the shadow, version 4, computed" in judge.report().breaker


def test_a_worker_that_ends_in_order_leaves_no_mark(tmp_path):
    (judge,) = judges(tmp_path)
    start_computing(judge, CANARY)
    judge.close()
    after = LiveJudge(Board(tmp_path, 0, 1, -signal.SIGSEGV), CANARY_SPLIT, JudgeSettings())
    assert after.weight == 5


def test_new_settings_of_one_revision_are_no_death(tmp_path):
    board = Board(tmp_path)
    judge = LiveJudge(board, CANARY_SPLIT, JudgeSettings())
    with judge.running(CANARY):
        assert LiveJudge(board, CANARY_SPLIT, JudgeSettings(threshold=50)).report().canary.bad == all_kinds()


def test_marks_of_many_threads_cancel_out(tmp_path):
    (judge,) = judges(tmp_path)

    def compute() -> None:
        for _ in range(500):
            with judge.running(CANARY):
                pass

    threads = [threading.Thread(target=compute) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    judges(tmp_path)
    (after,) = [LiveJudge(Board(tmp_path, 0, 1, -signal.SIGSEGV), CANARY_SPLIT, JudgeSettings())]
    assert after.weight == 5
