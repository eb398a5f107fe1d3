"""The judge over a board: many workers judge as one, and what must stop, stops everywhere at once."""

from __future__ import annotations

import random
import subprocess
import sys
import threading

import pytest

from components.judge import evalue
from components.serving.board import Board, KillSwitch
from components.serving.judging import LiveJudge
from components.types.judging import BadEvent
from components.types.release import JudgeSettings, Role, TrafficSplit
from tests.judges import CANARY, CANARY_SPLIT, ERROR, STABLE, all_kinds, ask, judges


def at(rev: int, **roles: int) -> TrafficSplit:
    return TrafficSplit("taxi", rev, **{"stable": 3, **roles})


@pytest.mark.parametrize("workers", [1, 3])
def test_the_e_value_is_that_of_the_pooled_counts(tmp_path, workers):
    several = judges(tmp_path, workers=workers, breaker_failures=99)
    for turn in range(60):
        ask(several[turn % workers], STABLE, ERROR)
    for turn in range(5):
        ask(several[-1 - turn % workers], CANARY, ERROR)
    expected = evalue.from_log(evalue.log_e(5, 65, 0.05, 1.25))
    for judge in several:
        report = judge.report()
        assert report.e_values["server_error"] == pytest.approx(expected)
        assert report.e_value == pytest.approx((expected + 4) / 5)
        assert report.canary.bad == all_kinds(server_error=5)
        assert report.stable.bad == all_kinds(server_error=60)


@pytest.mark.parametrize("workers", [1, 3])
def test_an_alarm_takes_the_weight_from_all_workers_at_the_same_event(tmp_path, workers):
    several = judges(tmp_path, workers=workers, breaker_failures=99)
    events = 0
    while several[0].weight:
        assert all(judge.weight == 5 for judge in several)
        ask(several[events % workers], CANARY, ERROR)
        events += 1
    assert events == 3
    assert all(judge.weight == 0 and judge.stopped for judge in several)
    assert "3 of 3 users with a server error had the canary, version 4" in several[0].report().alarm
    assert several[0].report().alarm == several[-1].report().alarm


def test_a_canary_as_good_as_stable_is_left_alone(tmp_path):
    (judge,) = judges(tmp_path)
    chance = random.Random(1)
    for _ in range(20_000):
        role = CANARY if chance.random() < 0.05 else STABLE
        ask(judge, role, ERROR if chance.random() < 0.01 else None)
    assert judge.weight == 5
    assert judge.report().e_value < 5


def test_a_user_counts_once_per_kind_however_often_it_fails_and_wherever(tmp_path):
    several = judges(tmp_path, workers=2, breaker_failures=99)
    for turn in range(50):
        ask(several[turn % 2], CANARY, ERROR, user=11)
    ask(several[0], CANARY, BadEvent.TIMEOUT, user=11)
    report = several[0].report()
    assert report.canary.bad == all_kinds(server_error=1, timeout=1)
    assert report.alarm is None
    assert several[1].health(CANARY, 60).bad == {"server_error": 50, "timeout": 1}, "health counts every one"


def test_the_breaker_trips_on_the_third_failure_of_the_first_requests_of_all_workers(tmp_path):
    several = judges(tmp_path, workers=3, threshold=1e12)
    for turn in range(60):
        ask(several[turn % 3])
    for judge in several:
        judge.flush()
    for turn in range(2):
        ask(several[turn], CANARY, ERROR)
        ask(several[turn], CANARY)
    assert all(judge.weight == 5 for judge in several)
    ask(several[2], CANARY, BadEvent.INVALID_OUTPUT)
    assert all(judge.weight == 0 for judge in several)
    assert several[0].report().breaker.startswith("3 of the first 5 requests of the canary, version 4, failed")
    assert several[0].report().alarm is None


def test_the_breaker_does_not_count_what_is_slow_or_comes_late(tmp_path):
    (judge,) = judges(tmp_path, threshold=1e12)
    for _ in range(10):
        ask(judge, CANARY, BadEvent.SLOW)
    for _ in range(10):
        ask(judge, CANARY)
    for _ in range(10):
        ask(judge, CANARY, ERROR)
    assert judge.weight == 5
    assert judge.report().breaker is None


def test_the_breaker_forgives_what_stable_does_as_often(tmp_path):
    (judge,) = judges(tmp_path, threshold=1e12)
    for turn in range(100):
        ask(judge, STABLE, ERROR if turn % 4 == 0 else None)
    for turn in range(20):
        ask(judge, CANARY, ERROR if turn % 6 == 0 else None)
    assert judge.weight == 5


def test_an_alarm_outlives_the_worker_and_the_gateway(tmp_path):
    for judge in judges(tmp_path):
        while judge.weight:
            ask(judge, CANARY, ERROR)
        judge.close()
    (again,) = judges(tmp_path)
    assert again.weight == 0
    assert again.report().canary.requests == 3


def test_counts_go_on_after_a_restart(tmp_path):
    for _ in range(3):
        (judge,) = judges(tmp_path)
        for _ in range(10):
            ask(judge)
        judge.close()
    (judge,) = judges(tmp_path)
    assert judge.report().stable.requests == 30
    assert judge.report().stable.users == 30
    assert judge.health(STABLE, 60).requests == 30


def test_another_process_hears_the_alarm(tmp_path):
    code = """
import sys
from pathlib import Path
from components.serving.board import Board
from components.serving.judging import LiveJudge
from components.types.judging import BadEvent
from components.types.release import JudgeSettings, Role, TrafficSplit
split = TrafficSplit("taxi", 7, stable=3, canary=4, previous=2, weight=5)
judge = LiveJudge(Board(Path(sys.argv[1]), 1, 2), split, JudgeSettings(breaker_failures=99))
for user in range(int(sys.argv[2])):
    judge.answered(Role.CANARY, user * 7919, user, 0.001, BadEvent.SERVER_ERROR, None)
judge.close()
print(judge.weight)
"""
    judge = LiveJudge(Board(tmp_path, 0, 2), CANARY_SPLIT, JudgeSettings(breaker_failures=99))
    ask(judge, CANARY, ERROR)
    for events, weight in ((1, 5), (3, 0)):
        command = [sys.executable, "-c", code, str(tmp_path), str(events)]
        said = subprocess.run(command, check=True, timeout=60, capture_output=True, text=True).stdout
        assert said == f"{weight}\n"
        assert judge.weight == weight
    assert judge.report().canary.requests == 1 + 1 + 3


def test_slow_means_slower_than_stable_itself_mostly_is(tmp_path):
    (judge,) = judges(tmp_path)
    for _ in range(99):
        ask(judge, seconds=0.010)
    judge.flush()
    ask(judge, CANARY, seconds=3.0)
    assert judge.report().canary.bad == all_kinds(), "before stable has answered enough, nothing is slow"
    for turn in range(300):
        ask(judge, seconds=0.010 + 0.0001 * (turn % 100))
    judge.flush()
    ask(judge, CANARY, seconds=0.021)
    assert judge.report().canary.bad == all_kinds(), "a thread's delay is not the version's"
    ask(judge, CANARY, seconds=0.05)
    assert judge.report().canary.bad == all_kinds(slow=1)
    ask(judge, seconds=0.05)
    assert judge.report().stable.bad["slow"] >= 1


def test_a_slow_canary_is_stopped_and_an_equally_slow_one_is_not(tmp_path):
    for name, delay_s, weight in (("slower", 0.1, 0), ("equal", 0.0, 5)):
        (judge,) = judges(tmp_path / name)
        chance = random.Random(3)
        for turn in range(6_000):
            seconds = chance.lognormvariate(-4, 0.5)
            if chance.random() < 0.05:
                ask(judge, CANARY, seconds=seconds + delay_s)
            else:
                ask(judge, seconds=seconds)
            if turn % 100 == 0:
                judge.flush()
        assert judge.weight == weight, name
        assert weight or "slow" in judge.report().alarm


def test_health_goes_on_over_revisions_of_the_slot(tmp_path):
    board = Board(tmp_path)
    for rev, weight in ((7, 5), (8, 25)):
        judge = LiveJudge(board, TrafficSplit("taxi", rev, stable=3, canary=4, weight=weight), JudgeSettings())
        ask(judge)
        ask(judge, CANARY, ERROR)
        judge.close()
    judge = LiveJudge(board, TrafficSplit("taxi", 9, stable=4, previous=3), JudgeSettings())
    assert judge.health(STABLE, 60).requests == 0, "version 4 was never stable before"
    judge = LiveJudge(board, TrafficSplit("taxi", 10, stable=3, canary=4, weight=50), JudgeSettings())
    assert judge.report().canary.requests == 0, "evidence starts anew with each revision"
    health = judge.health(CANARY, 60)
    assert (health.version, health.requests, health.bad) == (4, 2, {"server_error": 2})


def test_nobody_has_health_in_a_role_that_nobody_has(tmp_path):
    (judge,) = judges(tmp_path)
    for role in (Role.SHADOW, Role.PREVIOUS):
        assert judge.health(role, 60).requests == 0


def test_a_person_can_stop_a_canary_and_nothing_starts_it_again(tmp_path):
    router = tmp_path / "router.json"
    switches = tmp_path / "kill"
    switches.mkdir()
    board = Board(tmp_path / "state", kill_switch=KillSwitch(router))
    judge = LiveJudge(board, CANARY_SPLIT, JudgeSettings())
    (switches / "taxi").write_text("6\n")
    judge.obey_kill_switch()
    assert judge.weight == 5, "it was meant for an earlier revision"
    (switches / "taxi").write_text("7\n")
    judge.obey_kill_switch()
    assert judge.weight == 0
    assert judge.report().killed
    (switches / "taxi").unlink()
    judge.obey_kill_switch()
    assert judge.weight == 0


def test_a_kill_switch_holds_from_the_first_request_of_a_revision(tmp_path):
    (tmp_path / "kill").mkdir()
    (tmp_path / "kill" / "taxi").write_text("7")
    board = Board(tmp_path / "state", kill_switch=KillSwitch(tmp_path / "router.json"))
    assert LiveJudge(board, CANARY_SPLIT, JudgeSettings()).weight == 0


def test_a_version_that_a_person_killed_stays_so_at_every_revision_and_role(tmp_path):
    (tmp_path / "kill").mkdir()
    (tmp_path / "kill" / "taxi").write_text("7 4")
    for name, split, is_killed in (
        ("canary", at(20, canary=4, weight=25), True),
        ("shadow", at(21, shadow=4), True),
        ("another", at(20, canary=5, weight=25), False),
        ("stable", TrafficSplit("taxi", 22, stable=4), False),
    ):
        board = Board(tmp_path / name, kill_switch=KillSwitch(tmp_path / "router.json"))
        judge = LiveJudge(board, split, JudgeSettings())
        assert (judge.stopped, judge.report().killed) == (is_killed, is_killed), name


def test_time_counts_while_somebody_serves(tmp_path, monkeypatch):
    (judge,) = judges(tmp_path)
    judge._told_s -= 100
    assert 100 <= judge.report().seconds < 105
    (again,) = judges(tmp_path)
    assert 100 <= again.report().seconds < 105


def test_a_step_of_several_needs_more_evidence(tmp_path):
    (judge,) = judges(tmp_path, steps=4, breaker_failures=99)
    for _ in range(3):
        ask(judge, CANARY, ERROR)
    assert judge.weight == 5
    assert judge.report().e_value * 4 > 100
    ask(judge, CANARY, ERROR)
    assert judge.weight == 0


def test_a_report_can_be_asked_for_in_any_thread(tmp_path):
    (judge,) = judges(tmp_path)
    ask(judge)
    judge.flush()
    found = []
    thread = threading.Thread(target=lambda: found.append(judge.report()))
    thread.start()
    thread.join()
    assert found[0].stable.requests == 1
