"""A shadow in a process of its own: every request compared or counted, whatever becomes of the process."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bench.products import sum_product
from components.serving.board import Board
from components.serving.gateway import Gateway
from components.serving.judging import LiveJudge
from components.serving.measurements import Measurements
from components.serving.mirroring import child, process, process_lane
from components.serving.mirroring.frames import (
    Frames,
    frame,
    pack_batch,
    pack_outputs,
    unpack_batch,
    unpack_outputs,
)
from components.serving.mirroring.memory_bound import bound_bytes
from components.serving.model_table import make_table
from components.serving.options import Limits
from components.serving.served_model import load_served
from components.serving.traffic import Traffic
from components.types.release import JudgeSettings, ModelRef, PlacedModel, TrafficSplit
from tests.asking import call
from tests.broken_products import hanging_product, invalid_product, raising_product
from tests.waiting import until

KINDS = {
    "sound": sum_product,
    "raises": raising_product,
    "gives nonsense": invalid_product,
    "hangs": hanging_product,
}

pytestmark = pytest.mark.slow


class Mirrored:
    """A gateway whose model `sum` has a shadow, and what is known of both."""

    def __init__(self, folder, stable, shadow):
        versions = {}
        for number, source in ((1, stable), (2, shadow)):
            placed = PlacedModel(ModelRef("sum", number, source.digest), source.directory, source.runtime)
            versions[number] = load_served(placed, Measurements())
        split = TrafficSplit("sum", 7, stable=1, shadow=2)
        settings = JudgeSettings(time_limit_s=0.2, threshold=1e9)
        board = Board(folder)
        self.judge = LiveJudge(board, split, settings)
        self.traffic = Traffic(split, versions, self.judge, settings)
        self.gateway = Gateway(Limits(), board=board)
        self.gateway.table = make_table(1, {"sum": self.traffic}, {})
        self.lane = self.traffic.mirror._lane

    @property
    def report(self):
        return self.judge.report().shadow

    @property
    def bad(self):
        return {kind: count for kind, count in self.report.bad.items() if count}

    @property
    def known(self):
        return self.report.mirrored + self.report.dropped

    async def ask(self, count, x=2.0):
        for number in range(count):
            answer = await call(
                self.gateway, "POST", "/invocations", {"inputs": {"x": [x]}}, x_user_id=f"u{self.known + number}"
            )
            assert answer.status == 200
            assert answer.json["predictions"] == [{"prediction": x + 1000.0}]

    async def until(self, condition, time_s=20.0):
        end = time.monotonic() + time_s
        while not condition():
            assert time.monotonic() < end, self.report
            await asyncio.sleep(0.01)

    async def asked(self, count):
        """Ask so many times, and wait until it is known what came of it."""
        before = self.known
        await self.ask(count)
        await self.until(lambda: self.known == before + count)


@pytest.fixture(scope="module")
def versions(tmp_path_factory):
    root = tmp_path_factory.mktemp("shadows")
    return {kind: make(root / kind.replace(" ", "-"), 2000.0) for kind, make in KINDS.items()} | {
        "stable": sum_product(root / "stable", 1000.0)
    }


@pytest.fixture
def mirrored(versions, tmp_path):
    return lambda kind: Mirrored(tmp_path / "board", versions["stable"], versions[kind])


def lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_every_request_is_compared_in_a_process_that_ends_with_the_shadow(mirrored):
    found = mirrored("sound")

    async def scenario():
        await found.asked(300)
        pid = found.lane.pid
        assert os.getpriority(os.PRIO_PROCESS, pid) > os.getpriority(os.PRIO_PROCESS, 0)
        assert os.sched_getscheduler(pid) == os.SCHED_BATCH
        found.traffic.mirror.end()
        await found.until(lambda: not lives(pid))
        await found.ask(5)
        return found.report

    report = asyncio.run(scenario())
    assert (report.mirrored, report.differing, report.dropped) == (300, 300, 5)
    assert report.p50_ms is not None
    assert found.bad == {}


@pytest.mark.parametrize(
    ("kind", "bad"), [("raises", "server_error"), ("gives nonsense", "invalid_output"), ("hangs", "timeout")]
)
def test_what_goes_wrong_in_there_is_the_shadows(mirrored, kind, bad):
    found = mirrored(kind)

    async def scenario():
        await found.asked(3)
        pid = found.lane.pid
        await found.ask(1, x=0.5)  # which each of them answers
        await found.until(lambda: found.known == 4)
        assert found.lane.pid == pid

    asyncio.run(scenario())
    assert (found.report.mirrored, found.report.dropped, found.bad) == (4, 0, {bad: 3})


def test_a_process_that_is_killed_costs_at_most_the_request_that_it_was_at(mirrored):
    found = mirrored("sound")

    async def scenario():
        await found.asked(20)
        for _ in range(2):
            pid = found.lane.pid
            os.kill(pid, signal.SIGSTOP)
            await found.ask(30)
            await asyncio.sleep(0.1)  # some of them are with it
            os.kill(pid, signal.SIGKILL)
            await found.ask(30)
            await found.until(lambda before=found.known, pid=pid: found.lane.pid not in (None, pid))
        await found.until(lambda: found.known == 140)

    asyncio.run(scenario())
    assert found.report.mirrored + found.report.dropped == 140
    assert sum(found.bad.values()) <= 2
    assert found.report.dropped <= 2
    assert not found.judge.stopped


def test_a_process_that_does_not_listen_is_ended_and_the_rest_is_asked_again(mirrored):
    found = mirrored("sound")

    async def scenario():
        await found.asked(1)
        pid = found.lane.pid
        os.kill(pid, signal.SIGSTOP)
        await found.asked(10)
        assert not lives(pid)

    asyncio.run(scenario())
    assert found.report.mirrored + found.report.dropped == 11
    assert sum(found.bad.values()) <= 1


def test_native_code_that_crashes_stops_the_shadow_and_not_the_worker(mirrored):
    found = mirrored("sound")

    async def scenario():
        await found.asked(1)
        os.kill(found.lane.pid, signal.SIGSEGV)
        await found.until(lambda: found.judge.stopped)
        await found.ask(5)

    asyncio.run(scenario())
    assert "the process of the shadow, version 2, died of SIGSEGV" in found.judge.report().breaker
    assert found.report.mirrored == 1


def test_a_shadow_that_takes_more_memory_than_it_may_is_stopped_and_the_worker_lives(mirrored, monkeypatch):
    found = mirrored("sound")
    monkeypatch.setattr(process, "bound_bytes", lambda: 1_000_000)

    async def scenario():
        await found.ask(1)
        await found.until(lambda: found.judge.stopped)
        await found.ask(5)

    asyncio.run(scenario())
    assert "the process of the shadow, version 2, died of SIGABRT" in found.judge.report().breaker


def test_a_shadows_process_is_what_the_kernel_takes_first(mirrored):
    found = mirrored("sound")

    async def scenario():
        await found.asked(1)
        return Path(f"/proc/{found.lane.pid}/oom_score_adj").read_text()

    assert asyncio.run(scenario()).strip() == "1000"


@pytest.mark.parametrize(("text", "bound"), [("1073741824\n", 268_435_456), ("max\n", None), (None, None)])
def test_a_shadow_may_take_a_quarter_of_its_containers_limit(tmp_path, text, bound):
    if text is not None:
        (tmp_path / "memory.max").write_text(text)
    assert bound_bytes(tmp_path / "memory.max") == bound


def test_a_stop_that_is_asked_for_as_its_prediction_ends_is_not_used_again(monkeypatch):
    watch = child._Watch(60.0, os.getppid(), None)
    watch.make_stop = lambda: SimpleNamespace(terminate=False)
    first = watch.begin()
    limit_s = watch._late_s

    class Clock:  # the limit passes while the end is taken note of; the other thread looks at each moment of it
        now_s = limit_s - 1e-9

        def monotonic(self):
            found, self.now_s = self.now_s, limit_s + 1.0
            monkeypatch.setattr(child.time, "monotonic", lambda: limit_s + 1.0)
            watch.look()
            return found

    clock = Clock()
    monkeypatch.setattr(child, "time", SimpleNamespace(monotonic=clock.monotonic))
    watch.end()
    monkeypatch.undo()
    assert not watch.begin().terminate
    assert first is not None


def test_a_process_that_loads_for_ever_ends_with_its_worker(tmp_path):
    code = (
        "import sys, time; from components.serving.mirroring import child;"
        "child.load_served = lambda *_: time.sleep(60); sys.exit(child.main(sys.argv[1], int(sys.argv[2]), 0))"
    )
    starter = (
        "import json, socket, subprocess, sys, os\n"
        "ours, theirs = socket.socketpair()\n"
        "placed = {'ref': {'model': 'sum', 'version': 2, 'digest': 'd' * 64}, 'directory': '/x', 'runtime': 'onnx'}\n"
        "task = {'placed': placed, 'time_limit_s': 1.0, 'parent': os.getpid(), 'most_bytes': None}\n"
        f"command = [sys.executable, '-c', {code!r}, json.dumps(task), str(theirs.fileno())]\n"
        "print(subprocess.Popen(command, pass_fds=[theirs.fileno()], process_group=0).pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen([sys.executable, "-c", starter], stdin=-1, stdout=-1, text=True) as worker:
        pid = int(worker.stdout.readline())
        time.sleep(1.5)  # imports, and into the loading
        assert lives(pid)
        worker.kill()
    until(lambda: not lives(pid), "the process is gone", 20)


def test_what_waits_is_bounded_in_requests_and_bytes(mirrored, monkeypatch):
    found = mirrored("sound")

    async def scenario():
        monkeypatch.setattr(process_lane, "WAITING", 5)
        await found.ask(20)
        await found.until(lambda: found.known == 20)
        assert found.report.dropped == 15
        monkeypatch.setattr(process_lane, "WAITING", 10_000)
        monkeypatch.setattr(process_lane, "WAITING_BYTES", 3 * len(b'{"inputs": {"x": [2.0]}}'))
        os.kill(found.lane.pid, signal.SIGSTOP)
        monkeypatch.setattr(process_lane, "_BURST_S", 0.2)
        await found.ask(10)
        assert found.report.dropped >= 20
        os.kill(found.lane.pid, signal.SIGCONT)
        await found.until(lambda: found.known == 30)

    asyncio.run(scenario())


def test_a_product_that_is_gone_is_said_once_an_attempt_and_costs_nobody_anything(mirrored, monkeypatch, caplog):
    found = mirrored("sound")
    found.lane._shadow.placed = PlacedModel(found.lane._shadow.ref, Path("/nowhere"), "onnx")

    async def scenario():
        await found.ask(3)
        await found.until(lambda: found.lane._restarts.deaths == 2)
        found.traffic.mirror.end()

    asyncio.run(scenario())
    assert "/nowhere is not a folder" in caplog.text
    assert "it is started again in 0.5 s" in caplog.text
    assert found.bad == {}


@pytest.mark.parametrize("kind", ["network", "sum", "mixed", "image"])
def test_a_batch_and_its_answer_cross_as_they_are(served, kind):
    model = served(kind)
    tensors = {
        spec.name: np.full((3, *spec.shape), "ä€" if spec.type == "string" else 1, model_dtype(spec))
        for spec in model.plan.inputs
    }
    values = [tensors[spec.name].ravel().tolist() for spec in model.plan.inputs]
    batch = model.plan.from_tensors(values, 3)
    frames, sent = Frames(), frame(("first", pack_batch(batch, model.plan.inputs))) + frame("second")
    for place in range(0, len(sent), 7):
        frames.feed(sent[place : place + 7])
    _, packed = frames.take()
    assert frames.take() == "second"
    assert not frames.has_one
    crossed = unpack_batch(packed, 3, model.plan.inputs)
    assert crossed.rows == 3
    for name, array in batch.tensors.items():
        np.testing.assert_array_equal(crossed.tensors[name], array)
        assert crossed.tensors[name].dtype.kind == array.dtype.kind
    outputs = model.predict(crossed)
    frames.feed(frame(pack_outputs(outputs)))
    answered = unpack_outputs(frames.take())
    assert answered.keys() == outputs.keys()
    for name, array in outputs.items():
        np.testing.assert_array_equal(answered[name], array)


def model_dtype(spec):
    return object if spec.type == "string" else {"float64": float, "int64": int, "bool": bool}[spec.type]
