"""TensorFlow's process when its machine fails it, with a stub in TensorFlow's place, which is imported at once."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from components.errors import FaultError
from components.runtime.savedmodel import frames, lanes
from components.runtime.savedmodel import host as host_module
from components.runtime.savedmodel import keeper as keeper_module
from components.runtime.savedmodel.host import Host
from components.runtime.savedmodel.keeper import Keeper, Wish
from components.runtime.savedmodel.server import Server
from components.stage.files import tree_digest, write_json
from components.types.product import SIGNATURE_FILE, ProductRef
from tests.machine_faults import failing_first, no_space, refuse_threads
from tests.saved_models import SUM
from tests.waiting import until

STUB = """
import os, types
get_logger = lambda: types.SimpleNamespace(setLevel=lambda level: None)
Graph = lambda: None
signature = types.SimpleNamespace(inputs={}, outputs={})

def load(session, tags, directory):
    on_load(directory)
    return types.SimpleNamespace(signature_def={"serving_default": signature})

session = types.SimpleNamespace(make_callable=lambda outputs, inputs: lambda: [])
compat = types.SimpleNamespace(v1=types.SimpleNamespace(
    ConfigProto=lambda **options: None,
    Session=lambda **options: session,
    saved_model=types.SimpleNamespace(loader=types.SimpleNamespace(load=load)),
))
on_load = lambda directory: None
"""
SECOND_FORK_FAILS = """
fork, forks = os.fork, []
def failing():
    forks.append(1)
    if len(forks) == 2:
        raise BlockingIOError(11, "Resource temporarily unavailable")
    return fork()
os.fork = failing
"""
FOLDERS_TOO_DEEP_TO_READ = """
def on_load(directory):
    os.chdir(directory)
    for _ in range(20):
        os.mkdir("x" * 250)
        os.chdir("x" * 250)
"""
SLOW_TO_ANSWER = """
import time
session.make_callable = lambda outputs, inputs: lambda: time.sleep(0.2) or []
"""


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that has the next process import the stub, with some lines more."""

    def install(more: str = "") -> None:
        (tmp_path / "stub").mkdir()
        (tmp_path / "stub" / "tensorflow.py").write_text(STUB + more)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "stub"))
        monkeypatch.setattr(host_module, "_shared", None)

    return install


@pytest.fixture
def kept(stub, tmp_path: Path) -> Iterator[Callable[..., Keeper]]:
    """Return a function that gives a keeper whose server runs, with a single lane."""
    made = []

    def start(more: str = "") -> Keeper:
        stub(more)
        made.append(Keeper(some_product(tmp_path), 1, 1))
        made[-1].start(Wish())
        until(lambda: made[-1].pid, "its process was told")
        return made[-1]

    yield start
    for each in made:
        each.close()


class StopOnceBegun:
    """A stop that is heard at the second look: the first is before the prediction begins."""

    def __init__(self) -> None:
        self._looks = 0

    @property
    def terminate(self) -> bool:
        self._looks += 1
        return self._looks > 1

    @terminate.setter
    def terminate(self, value: bool) -> None:
        self._looks = 1 if value else 0


def some_product(folder: Path) -> ProductRef:
    product = folder / "product"
    (product / "savedmodel").mkdir(parents=True)
    (product / "savedmodel" / "saved_model.pb").write_bytes(b"")
    write_json(product / SIGNATURE_FILE, SUM)
    return ProductRef(product, tree_digest(product), "savedmodel")


def answers(server: Server) -> bool:
    lane = server.free[0]
    lane.send(frames.pack({}), Wish())
    return "seconds" in lane.receive(Wish())[0]


def still_answers(keeper: Keeper) -> bool:
    return "seconds" in keeper.exchange(frames.pack({}), lanes._Until(time.monotonic() + 60))[0]


def test_a_server_that_cannot_be_forked_is_a_fault_and_takes_no_other_with_it(stub, tmp_path) -> None:
    stub(SECOND_FORK_FAILS)
    ended: list[Server] = []
    first = Server(tmp_path, 1, 2, ended.append)
    first.described(Wish())
    second = Server(tmp_path, 1, 2, ended.append)
    with pytest.raises(FaultError, match="no process can be forked: BlockingIOError: .*Resource temporarily"):
        second.described(Wish())
    assert second.how() == "ended with exit code 71"
    assert ended == [second]
    third = Server(tmp_path, 1, 2, ended.append)
    third.described(Wish())
    assert answers(first)
    assert answers(third)


def test_a_product_that_cannot_be_read_while_it_is_opened_is_a_fault_and_leaves_no_server(stub, tmp_path) -> None:
    stub(FOLDERS_TOO_DEEP_TO_READ)
    host = host_module.shared_host()
    keeper = Keeper(some_product(tmp_path), 1, 1)
    with pytest.raises(FaultError, match="cannot be opened: .*File name too long"):
        keeper.start(Wish())
    end = time.monotonic() + 60
    while psutil.Process(host.pid).children():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="there is no /proc")
def test_a_process_that_runs_a_models_graph_is_told_no_secret(stub, monkeypatch) -> None:
    stub()
    for name in ("TOWPATH_GATEWAY_TOKEN", "AWS_SECRET_ACCESS_KEY", "TF_VAR_password"):
        monkeypatch.setenv(name, "s3cret")
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    host = Host()
    ours, theirs = socket.socketpair()
    host.serve(Path(os.sep), 1, [theirs], lambda code: None)
    assert ours.recv(1)  # it runs
    told = Path(f"/proc/{host.pid}/environ").read_bytes()
    assert b"s3cret" not in told
    assert b"TF_ENABLE_ONEDNN_OPTS=0" in told
    for each in (ours, theirs):
        each.close()


def test_a_server_for_whose_successor_there_is_no_thread_has_one_at_the_next_prediction(kept, monkeypatch) -> None:
    keeper = kept()
    host, first = host_module.shared_host(), keeper.pid
    refused = refuse_threads(monkeypatch, "savedmodel-restart", times=2)
    os.kill(first, signal.SIGKILL)
    until(lambda: refused, "its end was heard")
    assert keeper.pid is None
    assert still_answers(keeper)
    assert len(refused) == 2
    second = until(lambda: keeper.pid, "its process was told")
    os.kill(second, signal.SIGKILL)  # whoever listens to the ends of servers is still there
    until(lambda: keeper.pid not in (second, None), "its end was heard, and it was started again")
    assert host.failure is None


def test_a_start_that_fails_in_a_way_that_nobody_foresaw_is_not_the_last_one(kept, monkeypatch) -> None:
    keeper = kept()
    monkeypatch.setattr(keeper_module, "_FIRST_WAIT_S", 0.01)
    start, made = failing_first(keeper_module.Server, RuntimeError("can't start new thread"))
    monkeypatch.setattr(keeper_module, "Server", start)
    os.kill(keeper.pid, signal.SIGKILL)
    until(lambda: len(made) == 2 and keeper.pid, "it was started again")
    assert still_answers(keeper)


def test_a_stopped_prediction_for_which_nobody_can_wait_gives_its_lane_back(kept, monkeypatch) -> None:
    keeper = kept(SLOW_TO_ANSWER)
    monkeypatch.setattr(keeper_module, "GRACE_S", 60.0)
    server = keeper.pid
    refused = refuse_threads(monkeypatch, "savedmodel-stopped")
    with pytest.raises(FaultError, match="the prediction was stopped"):
        keeper.exchange(frames.pack({}), StopOnceBegun())
    assert len(refused) == 1
    assert still_answers(keeper)
    assert keeper.pid == server


def test_a_process_that_nobody_can_listen_to_is_ended_and_the_next_one_is_not(stub, monkeypatch) -> None:
    stub()
    before = set(psutil.Process().children())
    refuse_threads(monkeypatch, "savedmodel")
    with pytest.raises(FaultError, match="cannot be listened to: can't start new thread"):
        host_module.shared_host()
    assert set(psutil.Process().children()) <= before
    assert host_module.shared_host().failure is None


def test_an_end_that_cannot_be_told_keeps_nobody_from_hearing_of_the_others(stub, tmp_path, caplog) -> None:
    stub()
    host, heard = Host(), []
    pairs = [socket.socketpair() for _ in range(2)]
    first = host.serve(tmp_path, 1, [pairs[0][1]], lambda code: no_space(tmp_path))
    second = host.serve(tmp_path, 1, [pairs[1][1]], heard.append)
    for ours, theirs in pairs:
        assert ours.recv(1)  # it runs
        theirs.close()
    host.kill(first)
    until(lambda: "could not be told" in caplog.text, "the first one ended")
    host.kill(second)
    until(lambda: heard == [-signal.SIGKILL], "the second one ended")
    assert host.failure is None
    os.kill(host.pid, signal.SIGKILL)
    until(lambda: host.failure, "the process ended")
    for ours, _ in pairs:
        ours.close()


def test_a_process_that_says_what_nobody_understands_is_one_that_failed() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; print('half a', flush=True); time.sleep(600)"])
    heard, told = os.pipe()
    os.write(told, b'{"server": 1, "en\n')
    state = host_module._State()
    host_module._listen(process, heard, state)
    os.close(told)
    assert "it was not understood: JSONDecodeError" in state.failure
    assert process.returncode == -signal.SIGKILL
