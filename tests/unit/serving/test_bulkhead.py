"""Bounded threads: what is full, late, failing or idle in them reaches nobody else."""

import asyncio
import threading
import time
from dataclasses import dataclass

import pytest

from components.serving.bulkhead import Bulkhead, BulkheadFullError, Task
from tests.machine_faults import refuse_threads


@dataclass
class Flag:
    terminate: bool = False


def waits(release):
    def call(stop):
        while not release.wait(0.01):
            if stop.terminate:
                raise TimeoutError
        return "done"

    return call


def eventually(condition, seconds=240.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_result_and_an_error_come_back():
    def fails(stop):
        raise ValueError("no")

    async def scenario():
        bulkhead = Bulkhead("b", 1, 4)
        assert await bulkhead.run(lambda stop: 42, Flag(), 5) == 42
        with pytest.raises(ValueError, match="no"):
            await bulkhead.run(fails, Flag(), 5)
        assert await bulkhead.run(lambda stop: 43, Flag(), 5) == 43

    asyncio.run(scenario())


def test_what_takes_too_long_is_given_up_at_once_and_asked_to_stop():
    async def scenario():
        bulkhead, flag, release = Bulkhead("b", 1, 4), Flag(), threading.Event()
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            await bulkhead.run(waits(release), flag, 0.1)
        assert time.monotonic() - started < 1
        assert flag.terminate
        assert await bulkhead.run(lambda stop: "next", Flag(), 5) == "next"

    asyncio.run(scenario())


def test_a_task_that_hears_nothing_keeps_only_its_own_thread():
    async def scenario():
        bulkhead, release = Bulkhead("b", 2, 4), threading.Event()
        with pytest.raises(TimeoutError):
            await bulkhead.run(lambda stop: release.wait(20), Flag(), 0.05)
        assert await bulkhead.run(lambda stop: "next", Flag(), 5) == "next"
        release.set()

    asyncio.run(scenario())


def test_more_than_may_wait_is_refused_at_once():
    release, heard = threading.Event(), []
    bulkhead = Bulkhead("b", 2, 3)

    def task():
        return Task(waits(release), Flag(), lambda result, error: heard.append(result))

    assert bulkhead.offer(task())
    assert bulkhead.offer(task())
    eventually(lambda: len(bulkhead._running) == 2)
    assert [bulkhead.offer(task()) for _ in range(5)] == [True, True, True, False, False]
    assert bulkhead.threads == 2
    release.set()
    eventually(lambda: heard == ["done"] * 5)

    async def scenario():
        closed = Bulkhead("b", 1, 0)
        with pytest.raises(BulkheadFullError):
            await closed.run(lambda stop: 1, Flag(), 1)

    asyncio.run(scenario())


def test_a_task_that_nobody_waits_for_any_more_is_not_begun():
    async def scenario():
        bulkhead, release, begun = Bulkhead("b", 1, 4), threading.Event(), []
        first = asyncio.create_task(bulkhead.run(waits(release), Flag(), 5))
        await asyncio.sleep(0.05)
        with pytest.raises(TimeoutError):
            await bulkhead.run(begun.append, Flag(), 0.05)
        release.set()
        assert await first == "done"
        assert await bulkhead.run(lambda stop: "next", Flag(), 5) == "next"
        assert begun == []

    asyncio.run(scenario())


def test_late_tasks_are_asked_to_stop_and_others_are_not():
    release, flags, ended = threading.Event(), [Flag(), Flag()], []
    bulkhead = Bulkhead("b", 2, 4)
    for flag, time_s in zip(flags, (0.05, 60.0), strict=True):
        bulkhead.offer(Task(waits(release), flag, lambda result, error: ended.append(error), time_s))

    def stopped():
        bulkhead.stop_late()
        return len(ended) == 1

    eventually(stopped)
    assert [flag.terminate for flag in flags] == [True, False]
    release.set()
    eventually(lambda: len(ended) == 2)


def test_stopping_all_drops_what_waits():
    release, ended = threading.Event(), []
    bulkhead = Bulkhead("b", 1, 9)
    for _ in range(5):
        bulkhead.offer(Task(waits(release), Flag(), lambda result, error: ended.append(error)))
    eventually(lambda: len(bulkhead._running) == 1)
    bulkhead.stop_all()
    eventually(lambda: len(ended) == 1)
    time.sleep(0.05)
    assert len(ended) == 1


def test_idle_threads_leave_and_come_back_with_work():
    async def scenario():
        bulkhead = Bulkhead("idle-bulkhead", 3, 9, idle_s=0.5)
        await asyncio.gather(*(bulkhead.run(lambda stop: time.sleep(0.02), Flag(), 5) for _ in range(6)))
        assert 0 < bulkhead.threads <= 3
        eventually(lambda: not [each for each in threading.enumerate() if each.name == "idle-bulkhead"])
        assert bulkhead.threads == 0
        assert await bulkhead.run(lambda stop: 7, Flag(), 5) == 7

    asyncio.run(scenario())


def test_every_task_of_many_is_done_once_under_contention():
    done, lock = [], threading.Lock()

    def note(number):
        def call(stop):
            with lock:
                done.append(number)
            return number

        return call

    async def scenario():
        bulkhead = Bulkhead("b", 4, 10_000, idle_s=0.001)
        return await asyncio.gather(*(bulkhead.run(note(number), Flag(), 30) for number in range(2_000)))

    assert asyncio.run(scenario()) == list(range(2_000))
    assert sorted(done) == list(range(2_000))


def test_its_threads_do_not_keep_a_process_alive():
    release = threading.Event()
    bulkhead = Bulkhead("daemon-bulkhead", 1, 1)
    bulkhead.offer(Task(waits(release), Flag(), lambda result, error: None))
    eventually(lambda: any(each.name == "daemon-bulkhead" for each in threading.enumerate()))
    assert all(each.daemon for each in threading.enumerate() if each.name == "daemon-bulkhead")
    release.set()


def test_a_thread_that_the_system_refuses_costs_one_task_and_no_place_for_the_next(monkeypatch, caplog):
    refused = refuse_threads(monkeypatch, "scarce-bulkhead", times=2)

    async def scenario():
        bulkhead = Bulkhead("scarce-bulkhead", 1, 4)
        for _ in range(2):
            with pytest.raises(BulkheadFullError):
                await bulkhead.run(lambda stop: "not begun", Flag(), 60)
        assert await bulkhead.run(lambda stop: "next", Flag(), 60) == "next"
        assert bulkhead.threads == 1

    asyncio.run(scenario())
    assert len(refused) == 2
    assert caplog.text.count("can't start new thread") == 1


def test_where_a_second_thread_is_refused_the_first_does_the_work_of_both(monkeypatch):
    release, done = threading.Event(), []
    bulkhead = Bulkhead("scarce-bulkhead", 2, 4)
    tasks = [Task(waits(release), Flag(), lambda result, error: done.append(result)) for _ in range(3)]
    assert bulkhead.offer(tasks[0])
    eventually(lambda: bulkhead.is_busy)
    refuse_threads(monkeypatch, "scarce-bulkhead")
    assert bulkhead.offer(tasks[1])
    assert bulkhead.threads == 1
    assert bulkhead.offer(tasks[2])
    assert bulkhead.threads == 2
    release.set()
    eventually(lambda: done == ["done"] * 3)
