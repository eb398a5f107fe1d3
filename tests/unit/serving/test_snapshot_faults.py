"""Following a snapshot on a machine that fails for a moment: what it asked for is done all the same."""

import asyncio
import errno
import os
from dataclasses import replace

import pytest

from components.errors import ConfigError
from components.serving import snapshot_watch
from components.serving.board import rollout_board
from components.serving.pulse import Pulse
from components.types.release import JudgeSettings, ModelRef
from tests.following import route
from tests.judges import ask
from tests.machine_faults import failing_first, no_space, refuse_threads

FEW = JudgeSettings(psi_min=20)


@pytest.fixture
def others(placed):
    """The same versions as those of another model."""
    return {n: replace(each, ref=ModelRef("other", n, each.ref.digest)) for n, each in placed.items()}


def unreadable(path):
    return ConfigError(f"{path} is not a router snapshot: {OSError(errno.EMFILE, os.strerror(errno.EMFILE))}")


def test_a_full_disk_keeps_nobody_from_the_way_back(followed, placed, monkeypatch):
    followed.write(replace(route(1, placed, 1, 2, stable=1, canary=2, weight=50), judge=FEW))

    async def scenario():
        judge = followed.gateway.judges["sum"]
        monkeypatch.setattr(rollout_board, "write_once", no_space)
        for _ in range(40):
            ask(judge)
        assert followed.gateway.release_status().reports["sum"].stable.requests == 40
        followed.write(route(2, placed, 1, stable=1))
        await followed.until(lambda: followed.gateway.revs == {"sum": 2})
        assert followed.gateway.judges["sum"] is followed.gateway.table.traffic["sum"].judge is not judge

    followed.run(scenario)


def test_a_judge_that_cannot_end_keeps_nobody_from_the_way_back(followed, placed, monkeypatch):
    followed.write(route(1, placed, 1, 2, stable=1, canary=2, weight=50))

    async def scenario():
        judge = followed.gateway.judges["sum"]
        judge._rollout.own["running"] = 1
        monkeypatch.setattr(judge, "flush", lambda: no_space(followed.path))
        followed.write(route(2, placed, 1, stable=1))
        await followed.until(lambda: followed.gateway.revs == {"sum": 2})
        assert judge._rollout.own["running"].sum() == 0

    followed.run(scenario)


def test_a_judge_that_cannot_be_told_keeps_no_other_model_from_its_kill_switch(
    followed, placed, others, monkeypatch, caplog
):
    canaries = [route(1, each, 1, 2, stable=1, canary=2, weight=50) for each in (placed, others)]
    followed.write(*canaries)

    async def scenario():
        judges = followed.gateway.judges
        for name in ("obey_kill_switch", "flush"):
            monkeypatch.setattr(judges["sum"], name, lambda: no_space(followed.path))
        (followed.path.parent / "kill").mkdir()
        (followed.path.parent / "kill" / "other").write_text("1")
        ask(judges["other"])
        pulse = Pulse(followed.gateway)
        for _ in range(3):
            pulse.beat()
        assert (judges["sum"].weight, judges["other"].weight) == (50, 0)
        assert judges["other"]._rollout.rows["arms"]["requests"].sum() == 1
        assert [each.revs for each in followed.board.workers()] == [{"sum": 1, "other": 1}]
        assert caplog.text.count("the board cannot be written") == 1
        pulse._history.cancel()

    followed.run(scenario)


def test_a_snapshot_that_could_not_be_read_for_a_moment_is_read_again(followed, placed, monkeypatch):
    followed.write(route(1, placed, 1, stable=1))

    async def scenario():
        read, made = failing_first(snapshot_watch.read_snapshot, unreadable(followed.path), times=2)
        monkeypatch.setattr(snapshot_watch, "read_snapshot", read)
        followed.write(route(2, placed, 2, stable=2))
        await followed.until(lambda: followed.gateway.revs == {"sum": 2})
        assert len(made) == 3
        assert followed.gateway.refused == 1

    followed.run(scenario)


def test_a_snapshot_that_is_none_is_said_once_and_the_next_is_served_at_once(followed, placed, monkeypatch, caplog):
    followed.write(route(1, placed, 1, stable=1))

    async def scenario():
        read, made = failing_first(snapshot_watch.read_snapshot, unreadable(followed.path), times=0)
        monkeypatch.setattr(snapshot_watch, "read_snapshot", read)
        followed.path.write_text("{}")
        await followed.until(lambda: len(made) >= 3)
        assert (followed.gateway.refused, caplog.text.count("is not a router snapshot")) == (1, 1)
        followed.write(route(2, placed, 1, stable=1))
        await followed.until(lambda: followed.gateway.revs == {"sum": 2})
        tried = len(made)
        await asyncio.sleep(0.2)
        assert len(made) == tried

    followed.run(scenario)


@pytest.mark.parametrize("version", [1, 2], ids=["in memory", "to be loaded"])
def test_a_table_that_could_not_be_made_for_a_moment_is_made_later(followed, placed, monkeypatch, version):
    followed.write(route(1, placed, 1, stable=1))

    async def scenario():
        judge = followed.gateway.judges["sum"]
        make, made = failing_first(snapshot_watch.make_table, MemoryError(), times=1_000)
        with monkeypatch.context() as patch:
            patch.setattr(snapshot_watch, "make_table", make)
            followed.write(route(2, placed, version, stable=version))
            await followed.until(lambda: len(made) >= 3)
            assert followed.gateway.judges == {"sum": judge}
        await followed.until(lambda: followed.gateway.revs == {"sum": 2})

    followed.run(scenario)


def test_a_version_for_which_there_was_no_thread_is_loaded_later(followed, placed, monkeypatch):
    followed.write(route(1, placed, 1, stable=1))
    refused = refuse_threads(monkeypatch, "load")

    async def scenario():
        assert refused
        assert "can have no thread" in followed.gateway.problems["sum"]
        await followed.until(lambda: followed.gateway.revs == {"sum": 1})
        assert followed.gateway.problems == {}

    followed.run(scenario)
