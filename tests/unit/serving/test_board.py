"""What workers share: it adds up, it outlives them, and old rollouts leave."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from components.errors import InfrastructureError
from components.serving.board import Board, KillSwitch
from components.serving.board.mapped_file import open_mapped, write_once
from components.serving.board.prediction_ring import ENTRY_BYTES, PredictionRing
from components.serving.board.user_table import SIZE_BYTES, SLOTS, UserTable
from components.serving.board.windows import SECONDS
from components.types.kill_switch import EVERY_REV, Killed
from components.types.release import Role, TrafficSplit

SPLIT = TrafficSplit("taxi", 7, stable=3, canary=4, weight=5)


def test_a_status_is_read_by_every_worker(tmp_path):
    Board(tmp_path, 1, 2).beat({"taxi": 7}, {"taxi": (3, 4)}, {"adult": "no memory"})
    (status,) = Board(tmp_path, 0, 2).workers()
    assert (status.worker, status.pid, status.revs, status.loaded) == (1, os.getpid(), {"taxi": 7}, {"taxi": (3, 4)})
    assert status.problems == {"adult": "no memory"}
    assert 0 <= status.alive_s < 5


def test_a_worker_that_went_silent_is_seen_to_be_silent(tmp_path):
    board = Board(tmp_path)
    board.beat({}, {}, {})
    time.sleep(0.05)
    assert board.workers()[0].alive_s >= 0.05


def test_totals_of_all_workers_add_up(tmp_path):
    boards = [Board(tmp_path, worker, 3) for worker in range(3)]
    for board in boards:
        board.publish({"taxi/3": {"requests": 10, "seconds": 0.5}})
    boards[0].publish({"taxi/3": {"requests": 11, "seconds": 0.5}, "adult/1": {"requests": 1}})
    expected = {"taxi/3": {"requests": 31, "seconds": 1.5}, "adult/1": {"requests": 1}}
    assert all(board.totals() == expected for board in boards)


def test_totals_never_fall_when_a_worker_is_replaced(tmp_path):
    Board(tmp_path, 0).publish({"taxi/3": {"requests": 10}})
    successor = Board(tmp_path, 0)
    assert successor.totals() == {"taxi/3": {"requests": 10}}
    successor.publish({"taxi/3": {"requests": 2}})
    assert successor.totals() == {"taxi/3": {"requests": 12}}


def test_a_user_is_new_once_for_all_workers(tmp_path):
    first, second = (UserTable(open_mapped(tmp_path / "users", SIZE_BYTES)) for _ in range(2))
    assert first.first(17, 2)
    assert not second.first(17, 2)
    assert second.first(17, 3)
    assert second.first(18, 2)
    assert not first.first(17 + SLOTS, 2), "another user in the same slot counts as the same"


def test_a_prediction_is_found_by_any_worker_until_it_was_labelled(tmp_path):
    ours, theirs = (PredictionRing(open_mapped(tmp_path / "ring", 8 * ENTRY_BYTES), 8) for _ in range(2))
    ours.put(2**63 + 1, user=2**64 - 1, role=1, value=2.5, is_class=False)
    ours.put_shadow(2**63 + 1, 3.5)
    known = theirs.find(2**63 + 1)
    assert known is not None
    assert (known.user, known.value, known.shadow, known.role, known.is_class) == (2**64 - 1, 2.5, 3.5, 1, False)
    assert theirs.find(2) is None
    theirs.mark_labelled(2**63 + 1)
    assert ours.find(2**63 + 1) is None


def test_the_newest_prediction_takes_a_slot_with_all_that_belongs_to_it(tmp_path):
    ring = PredictionRing(open_mapped(tmp_path / "ring", 8 * ENTRY_BYTES), 8)
    ring.put(1, 1, 0, 1.0, True)
    ring.put_shadow(1, 9.0)
    ring.mark_labelled(1)
    ring.put(9, 2, 0, 2.0, True)
    ring.put_shadow(1, 7.0)
    found = ring.find(9)
    assert ring.find(1) is None
    assert found is not None
    assert (found.value, found.shadow) == (2.0, None)


def test_a_request_that_nobody_made_has_no_prediction(tmp_path):
    ring = PredictionRing(open_mapped(tmp_path / "ring", 8 * ENTRY_BYTES), 8)
    assert ring.find(0) is None


def test_health_adds_the_seconds_of_all_workers(tmp_path):
    windows = [Board(tmp_path, worker, 2).windows("taxi", Role.STABLE, 3) for worker in range(2)]
    windows[0].add(10, [1, 0, 0, 0, 0])
    windows[1].add(5, [0, 2, 0, 0, 0])
    for each in windows:
        window = each.latest(60)
        assert (window.requests, window.bad) == (15, [1, 2, 0, 0, 0])
        assert window.covered_s < 5


def test_health_forgets_what_is_older_than_the_window(tmp_path, monkeypatch):
    now_s = time.monotonic()
    windows = Board(tmp_path).windows("taxi", Role.STABLE, 3)
    for ago_s, requests in ((3_000, 1), (100, 2), (0, 4)):
        monkeypatch.setattr(time, "monotonic", lambda ago_s=ago_s: now_s - ago_s)
        windows.add(requests, [0] * 5)
    assert windows.latest(10).requests == 4
    assert windows.latest(300).requests == 6
    assert windows.latest(3_600).requests == 7
    assert windows.latest(300).covered_s == 300
    assert 2_999 <= windows.latest(3_600).covered_s <= 3_001


def test_a_second_of_an_hour_ago_is_not_added_to(tmp_path, monkeypatch):
    now_s = time.monotonic() + 2 * SECONDS
    windows = Board(tmp_path).windows("taxi", Role.STABLE, 3)
    for ago_s in (SECONDS, 0):
        monkeypatch.setattr(time, "monotonic", lambda ago_s=ago_s: now_s - ago_s)
        windows.add(1, [0] * 5)
    assert windows.latest(3_600).requests == 1


def test_old_rollouts_leave_and_the_one_before_stays(tmp_path):
    board = Board(tmp_path)
    for rev in (5, 6, 7):
        board.rollout(TrafficSplit("taxi", rev, stable=3))
    board.rollout(TrafficSplit("adult", 1, stable=1))
    board.tidy()
    assert not board.is_untidy
    revs = sorted(path.name.split("-")[0] for path in (tmp_path / "rollouts" / "taxi").iterdir())
    assert revs == ["6", "7"]
    assert (tmp_path / "rollouts" / "adult").is_dir()


def test_windows_of_versions_that_no_role_needs_leave(tmp_path):
    board = Board(tmp_path)
    for version in (3, 4):
        board.windows("taxi", Role.STABLE, version)
    board.rollout(TrafficSplit("taxi", 8, stable=4))
    board.tidy()
    assert [path.name.split("-")[1] for path in (tmp_path / "windows" / "taxi").iterdir()] == ["4"]


def test_a_revision_that_is_counted_anew_by_a_restored_ledger_starts_from_nothing(tmp_path):
    board = Board(tmp_path)
    board.rollout(SPLIT).stops.raise_alarm("version 4 fails")
    other = board.rollout(TrafficSplit("taxi", 7, stable=3, canary=9, weight=5))
    assert not other.stops.is_stopped
    assert other.stops.alarm is None
    assert board.rollout(SPLIT).stops.alarm == "version 4 fails"


def test_only_the_first_alarm_is_kept(tmp_path):
    rollout = Board(tmp_path).rollout(SPLIT)
    assert rollout.stops.raise_alarm("first")
    assert not Board(tmp_path, 1).rollout(SPLIT).stops.raise_alarm("second")
    assert rollout.stops.alarm == "first"


def test_what_stopped_a_candidate_is_on_the_next_board_before_the_old_one_can_be_removed(tmp_path):
    Board(tmp_path).rollout(SPLIT).stops.raise_alarm("version 4 fails")
    board = Board(tmp_path)
    later = board.rollout(replace(SPLIT, rev=SPLIT.rev + 1, weight=25))
    shutil.rmtree(Board(tmp_path).rollout(SPLIT).folder)
    assert (later.stops.is_stopped, later.stops.alarm) == (True, "version 4 fails")


def test_a_file_that_is_written_once_is_whole(tmp_path):
    assert write_once(tmp_path / "edges", b"[1]")
    assert not write_once(tmp_path / "edges", b"[2]")
    assert (tmp_path / "edges").read_bytes() == b"[1]"
    assert [path.name for path in tmp_path.iterdir()] == ["edges"]


def test_a_file_that_cannot_be_kept_is_an_error_of_one_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InfrastructureError, match="cannot be kept"):
        open_mapped(tmp_path / "file" / "counts", 4096)


def test_a_mapped_file_has_its_blocks_before_they_are_needed(tmp_path):
    open_mapped(tmp_path / "counts", 1 << 20)
    found = (tmp_path / "counts").stat()
    assert found.st_size == 1 << 20
    assert found.st_blocks * 512 >= 1 << 20, "a write to a hole on a full disk would kill the process"


@pytest.fixture
def full_disk():
    """Let no file grow beyond a megabyte, as a full disk would not."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_on_a_full_disk_a_rollout_is_refused_and_what_goes_on_goes_on(tmp_path, full_disk):
    board = Board(tmp_path)
    with pytest.raises(InfrastructureError, match="cannot be kept: File too large"):
        board.rollout(SPLIT)
    board.beat({"taxi": 6}, {}, {})
    assert board.workers()[0].revs == {"taxi": 6}


def test_a_kill_switch_is_read_whatever_is_in_it(tmp_path):
    switch = KillSwitch(tmp_path / "router.json")
    assert switch.held("taxi") is None
    (tmp_path / "kill").mkdir()
    everything = Killed(EVERY_REV)
    for text, expected in (
        (b"7\n", Killed(7)),
        (b"7 4 5\n", Killed(7, frozenset({4, 5}))),
        (b"", everything),
        (b"stop!", everything),
        (b"7 four", everything),
        (b"-1", everything),
        (b"9" * 5000, everything),
        (b"\xff\xfe", everything),
    ):
        (tmp_path / "kill" / "taxi").write_bytes(text)
        assert switch.held("taxi") == expected
    assert switch.held("adult") is None


def test_processes_share_rows_and_flags(tmp_path):
    code = """
import sys
from pathlib import Path
from components.serving.board import Board
from components.types.release import TrafficSplit
rollout = Board(Path(sys.argv[1]), 1, 2).rollout(TrafficSplit("taxi", 7, stable=3, canary=4, weight=5))
rollout.own["arms"]["requests"][0, 1] += 40
rollout.users.first(5, 0)
rollout.stops.raise_alarm("the other process stopped it")
"""
    rollout = Board(tmp_path, 0, 2).rollout(SPLIT)
    rollout.own["arms"]["requests"][0, 1] += 2
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=240)
    assert int(rollout.rows["arms"]["requests"].sum(axis=0)[1]) == 42
    assert rollout.stops.is_stopped
    assert rollout.stops.alarm == "the other process stopped it"
    assert not rollout.users.first(5, 0)


def test_a_rollout_that_is_opened_again_has_its_counts(tmp_path):
    rollout = Board(tmp_path).rollout(SPLIT)
    rollout.own["arms"]["latency"][0, 0] += np.arange(rollout.own["arms"]["latency"].shape[-1])
    again = Board(tmp_path).rollout(SPLIT)
    assert (again.own["arms"]["latency"][0, 0] == rollout.own["arms"]["latency"][0, 0]).all()
