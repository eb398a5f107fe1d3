"""The judge over a board: many workers judge as one, and what must stop, stops everywhere at once."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from components.errors import BadInputError
from components.judge import evalue
from components.serving.board import Board, KillSwitch
from components.serving.judging import LiveJudge
from components.types.judging import BadEvent
from components.types.release import JudgeSettings, Role, TrafficSplit

CANARY_SPLIT = TrafficSplit("taxi", 7, stable=3, canary=4, previous=2, weight=5)
SHADOW_SPLIT = TrafficSplit("taxi", 6, stable=3, shadow=4, previous=2)
STABLE, CANARY = Role.STABLE, Role.CANARY
ERROR = BadEvent.SERVER_ERROR
_hashes = random.Random(0)
_unending: list[object] = []


def at(rev: int, **roles: int) -> TrafficSplit:
    return TrafficSplit("taxi", rev, **{"stable": 3, **roles})


def judges(folder: Path, split: TrafficSplit = CANARY_SPLIT, workers: int = 1, **settings) -> list[LiveJudge]:
    made = JudgeSettings(**settings)
    return [LiveJudge(Board(folder, worker, workers), split, made) for worker in range(workers)]


def all_kinds(**counts: int) -> dict[str, int]:
    """What a report says of bad events: every kind, those that did not happen too."""
    return {kind.value: counts.get(kind.value, 0) for kind in BadEvent}


def number(value: float) -> dict[str, np.ndarray]:
    return {"prediction": np.array([value])}


def word(name: str, probability: float = 0.8) -> dict[str, np.ndarray]:
    return {
        "prediction": np.array([name], object),
        "probabilities": np.array([[1 - probability, probability]], np.float32),
    }


def new() -> int:
    return _hashes.getrandbits(64)


def ask(judge: LiveJudge, role: Role = STABLE, bad: BadEvent | None = None, **given) -> int:
    request = given.get("request", new())
    outputs = None if bad else given.get("outputs", number(1.0))
    judge.answered(role, given.get("user", request), request, given.get("seconds", 0.001), bad, outputs)
    return request


def mirror(judge: LiveJudge, bad: BadEvent | None = None, user: int | None = None, **given) -> int:
    request = ask(judge, outputs=given.get("stable", number(1.0)), user=user or new())
    shadow = None if bad else given.get("shadow", number(1.0))
    stable = given.get("stable", number(1.0))
    judge.mirrored(user or request, request, stable, shadow, 0.001, given.get("seconds", 0.001), bad)
    return request


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


def test_a_label_finds_its_prediction_whichever_worker_answered(tmp_path):
    ours, theirs = judges(tmp_path, workers=2)
    right, wrong = ask(ours, CANARY, outputs=word("yes")), ask(ours, CANARY, outputs=word("no"))
    assert theirs.labelled(right, "yes")
    assert theirs.labelled(wrong, "yes")
    assert not theirs.labelled(wrong, "yes"), "a label counts once"
    assert not ours.labelled(12345, "yes"), "nobody asked this"
    report = theirs.report()
    assert report.canary.labelled == 2
    assert report.canary.bad == all_kinds(label_error=1)


@pytest.mark.parametrize(
    ("predicted", "label", "is_right"),
    [(np.array([1]), 1, True), (np.array([1]), 1.0, True), (np.array([1]), 0, False), (np.array([True]), True, True)],
)
def test_classes_of_every_type_are_compared_with_json_labels(tmp_path, predicted, label, is_right):
    (judge,) = judges(tmp_path)
    outputs = {"prediction": predicted, "probabilities": np.array([[0.1, 0.9]], np.float32)}
    assert judge.labelled(ask(judge, CANARY, outputs=outputs), label)
    assert judge.report().canary.bad == all_kinds(label_error=not is_right)


def test_a_label_that_is_none_is_refused_and_may_be_sent_again(tmp_path):
    (judge,) = judges(tmp_path)
    request = ask(judge)
    for label in ("many", None, float("nan"), True, [1.0]):
        with pytest.raises(BadInputError, match="no finite number"):
            judge.labelled(request, label)
    assert judge.labelled(request, 1)


def test_a_request_of_several_rows_takes_no_label(tmp_path):
    (judge,) = judges(tmp_path)
    assert not judge.labelled(ask(judge, outputs={"prediction": np.array([1.0, 2.0])}), 1.0)


def test_a_number_is_wrong_when_it_is_further_off_than_stable_mostly_is(tmp_path):
    (judge,) = judges(tmp_path)
    early = ask(judge, CANARY, outputs=number(500.0))
    judge.labelled(early, 0.0)
    for turn in range(200):
        judge.labelled(ask(judge, outputs=number(float(turn % 100))), 0.0)
    judge.flush()
    for error, is_wrong in ((90.0, False), (120.0, True)):
        judge.labelled(ask(judge, CANARY, outputs=number(error)), 0.0)
        assert judge.report().canary.bad == all_kinds(label_error=is_wrong)


def test_a_canary_that_is_wrong_more_often_is_stopped(tmp_path):
    (judge,) = judges(tmp_path)
    chance = random.Random(5)
    for _ in range(20_000):
        is_canary = chance.random() < 0.05
        is_wrong = chance.random() < (0.3 if is_canary else 0.1)
        judge.labelled(ask(judge, CANARY if is_canary else STABLE, outputs=word("no" if is_wrong else "yes")), "yes")
        if judge.stopped:
            break
    assert judge.weight == 0
    assert "label error" in judge.report().alarm


def test_a_shadow_that_fails_alone_raises_an_alarm(tmp_path):
    several = judges(tmp_path, SHADOW_SPLIT, workers=2)
    for pairs in count(1):
        mirror(several[pairs % 2], ERROR)
        if several[0].stopped:
            break
    report = several[1].report()
    assert 8 <= pairs <= 20
    assert f"on mirrored requests {pairs} users had a server error of the shadow, version 4, alone" in report.alarm
    assert report.shadow.bad == all_kinds(server_error=pairs)
    assert (report.shadow.only_shadow_bad, report.shadow.only_stable_bad) == (pairs, 0)


def test_a_shadow_that_errs_where_stable_errs_raises_none(tmp_path):
    (judge,) = judges(tmp_path, SHADOW_SPLIT)
    for turn in range(600):
        wrong = word("no") if turn % 3 == 0 else word("yes")
        judge.labelled(mirror(judge, stable=wrong, shadow=wrong), "yes")
    report = judge.report()
    assert report.alarm is None
    assert (report.shadow.labelled, report.shadow.differing) == (600, 0)
    assert report.shadow.bad == report.shadow.stable_bad == all_kinds(label_error=200)
    assert report.shadow.only_shadow_bad == 0


def test_a_shadow_that_is_wrong_more_often_raises_an_alarm(tmp_path):
    (judge,) = judges(tmp_path, SHADOW_SPLIT)
    for turn in range(2_000):
        shadow = word("no") if turn % 20 == 0 else word("yes")
        judge.labelled(mirror(judge, stable=word("yes"), shadow=shadow), "yes")
    report = judge.report()
    assert "label error of the shadow" in report.alarm
    assert report.shadow.differing == 100


def test_where_stable_fails_itself_the_shadow_is_not_blamed(tmp_path):
    (judge,) = judges(tmp_path, SHADOW_SPLIT)
    for _ in range(200):
        ask(judge, STABLE, ERROR)
        mirror(judge, ERROR)
    assert judge.report().alarm is None
    assert judge.report().shadow.only_stable_bad == 200


def test_what_was_not_mirrored_is_counted(tmp_path):
    several = judges(tmp_path, SHADOW_SPLIT, workers=2)
    for judge in several:
        judge.dropped()
        mirror(judge)
    shadow = several[0].report().shadow
    assert shadow.dropped == 2
    several[1].flush()
    assert several[0].report().shadow.mirrored == 2


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


def test_drift_between_shadow_and_stable_counts_pairs_only(tmp_path):
    (judge,) = judges(tmp_path, SHADOW_SPLIT)
    chance = random.Random(8)
    for _ in range(400):
        value = chance.uniform(0, 5)
        mirror(judge, stable=number(value), shadow=number(value))
        ask(judge, outputs=number(50.0))
    drift = judge.report().drift
    assert drift.rows == 400
    assert drift.psi == pytest.approx(0.0)


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
