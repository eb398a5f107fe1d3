"""What stopped a version stays with it: over revisions, roles, workers, restarts and boards that are gone."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from components.serving.board import Board, KillSwitch
from components.serving.judging import LiveJudge
from components.types.judging import BadEvent
from components.types.release import JudgeSettings, Role, TrafficSplit

ERROR = BadEvent.SERVER_ERROR


def at(rev: int, **roles: int) -> TrafficSplit:
    return TrafficSplit("taxi", rev, **{"stable": 3, **roles})


def judged(board: Board, split: TrafficSplit) -> LiveJudge:
    return LiveJudge(board, split, JudgeSettings())


def fail(judge: LiveJudge, requests: int = 40) -> None:
    """Have the candidate fail for so many users."""
    for user in range(requests):
        if judge.split.canary is not None:
            judge.answered(Role.CANARY, user, user, 0.001, ERROR, None)
        else:
            judge.mirrored(user, user, {"prediction": np.array([1.0])}, None, 0.001, 0.001, ERROR)
    assert judge.stopped


def words(judge: LiveJudge) -> tuple[str | None, str | None, bool]:
    report = judge.report()
    assert report.weight == judge.weight == 0
    return report.alarm, report.breaker, report.killed


@pytest.fixture
def board(tmp_path):
    return Board(tmp_path / "state", kill_switch=KillSwitch(tmp_path / "router.json"))


@pytest.mark.parametrize("stop", ["alarm", "breaker", "kill"])
@pytest.mark.parametrize("restart", [False, True])
def test_neither_a_pause_nor_the_next_step_gives_a_stopped_canary_its_traffic_back(tmp_path, board, stop, restart):
    judge = judged(board, at(10, canary=4, weight=5))
    if stop == "alarm":
        judge._rollout.stops.raise_alarm("version 4 fails")
    elif stop == "breaker":
        judge._rollout.stops.trip_breaker("3 of 3 failed")
    else:
        (tmp_path / "kill").mkdir()
        (tmp_path / "kill" / "taxi").write_text("10")
        judge.obey_kill_switch()
        (tmp_path / "kill" / "taxi").unlink()
    expected = words(judge)
    assert sum(map(bool, expected)) == 1
    for rev, weight in ((11, 5), (12, 25), (15, 50)):
        judge.close()
        if restart:
            board = Board(tmp_path / "state", kill_switch=KillSwitch(tmp_path / "router.json"))
        judge = judged(board, at(rev, canary=4, weight=weight))
        board.tidy()
        assert words(judge) == expected
        assert judge.report().canary.requests == 0, "counts begin anew with each revision"


def test_a_shadow_that_alarmed_is_stopped_as_canary_too(board):
    shadow = judged(board, at(10, shadow=4))
    fail(shadow)
    alarm = shadow.report().alarm
    assert "version 4" in alarm
    assert words(judged(board, at(11, canary=4, weight=5)))[0] == alarm


def test_another_version_begins_anew_and_so_does_one_that_was_taken_out_in_between(board):
    fail(judged(board, at(10, canary=4, weight=5)))
    assert judged(board, at(11, canary=5, weight=5)).weight == 5
    assert judged(board, at(12)).weight == 0
    assert not judged(board, at(12)).stopped
    assert judged(board, at(13, canary=4, weight=5)).weight == 5


def test_a_revision_of_which_the_gateway_never_heard_breaks_nothing(board):
    fail(judged(board, at(10, canary=4, weight=5)))
    assert judged(board, at(17, canary=4, weight=25)).weight == 0


def test_revisions_are_ordered_as_numbers(board):
    judged(board, at(9)).close()
    fail(judged(board, at(10, canary=4, weight=5)))
    assert judged(board, at(100, canary=4, weight=5)).weight == 0


def test_a_late_workers_alarm_stops_the_revision_that_the_others_have_reached(tmp_path):
    late, early = Board(tmp_path, 0, 2), Board(tmp_path, 1, 2)
    behind = judged(late, at(10, canary=4, weight=5))
    ahead = judged(early, at(11, canary=4, weight=25))
    early.tidy()
    assert ahead.weight == 25
    fail(behind)
    ahead.obey_kill_switch()
    assert words(ahead) == words(behind)


def test_an_alarm_on_a_board_that_was_removed_meanwhile_is_carried_over_by_who_saw_it(tmp_path):
    late, early = Board(tmp_path, 0, 2), Board(tmp_path, 1, 2)
    behind = judged(late, at(10, canary=4, weight=5))
    for rev in (11, 12):
        ahead = judged(early, at(rev, canary=4, weight=25))
        early.tidy()
    assert not behind._rollout.folder.exists()
    fail(behind)
    assert ahead.weight == 25
    assert judged(late, at(12, canary=4, weight=25)).weight == ahead.weight == 0
    assert "could not be kept" in ahead.report().alarm


def test_a_worker_several_revisions_behind_stops_those_that_are_ahead(tmp_path):
    late, early = Board(tmp_path, 0, 2), Board(tmp_path, 1, 2)
    behind = judged(late, at(10, canary=4, weight=5))
    for rev in (11, 12, 13):
        ahead = judged(early, at(rev, canary=4, weight=25))
        early.tidy()
    fail(behind)
    ahead.obey_kill_switch()
    assert ahead.weight == 0


def test_many_workers_open_the_next_board_at_once_and_all_of_them_are_stopped(tmp_path):
    fail(judged(Board(tmp_path, 0, 6), at(10, canary=4, weight=5)))
    code = """
import sys
from pathlib import Path
from components.serving.board import Board
from components.serving.judging import LiveJudge
from components.types.release import JudgeSettings, TrafficSplit
board = Board(Path(sys.argv[1]), int(sys.argv[2]), 6)
sys.stdin.read()
judge = LiveJudge(board, TrafficSplit("taxi", 11, stable=3, canary=4, weight=25), JudgeSettings())
board.tidy()
report = judge.report()
print(judge.weight, report.breaker or report.alarm)
"""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), str(worker)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for worker in range(6)
    ]
    for each in running:
        each.stdin.close()
    said = {each.stdout.read().strip() for each in running}
    assert [each.wait() for each in running] == [0] * 6
    for each in running:
        each.stdout.close()
    assert len(said) == 1
    assert said.pop().startswith("0 3 of 3 users with a server error had the canary, version 4")


@pytest.mark.parametrize("name", ["alarm", "breaker"])
def test_a_stop_whose_sentence_cannot_be_written_is_reported_as_what_it_is(tmp_path, board, name):
    judge = judged(board, at(10, canary=4, weight=5))
    stops = judge._rollout.stops
    shutil.rmtree(judge._rollout.folder)
    with pytest.raises(OSError, match="No such file"):
        (stops.raise_alarm if name == "alarm" else stops.trip_breaker)("a sentence")
    report = judge.report()
    assert report.weight == 0
    assert "could not be kept" in getattr(report, name)
    assert (report.alarm is None) != (report.breaker is None)


def test_a_sentence_that_comes_later_than_its_stop_is_carried_over_too(board):
    before = judged(board, at(10, canary=4, weight=5))._rollout
    before.stops._bytes[0] = 1
    after = judged(board, at(11, canary=4, weight=5))
    assert "could not be kept" in after.report().alarm
    Path(before.folder / "alarm").write_text("version 4 fails")
    after.obey_kill_switch()
    assert after.report().alarm == "version 4 fails"
