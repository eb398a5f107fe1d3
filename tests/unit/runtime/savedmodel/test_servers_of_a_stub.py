"""TensorFlow's process when its machine fails it, with a stub in TensorFlow's place, which is imported at once."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from components.errors import FaultError
from components.runtime.savedmodel import frames
from components.runtime.savedmodel import host as host_module
from components.runtime.savedmodel.host import Host
from components.runtime.savedmodel.keeper import Keeper, Wish
from components.runtime.savedmodel.server import Server
from components.stage.files import tree_digest, write_json
from components.types.product import SIGNATURE_FILE, ProductRef
from tests.saved_models import SUM

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


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that has the next process import the stub, with some lines more."""

    def install(more: str = "") -> None:
        (tmp_path / "stub").mkdir()
        (tmp_path / "stub" / "tensorflow.py").write_text(STUB + more)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "stub"))
        monkeypatch.setattr(host_module, "_shared", None)

    return install


def answers(server: Server) -> bool:
    lane = server.free[0]
    lane.send(frames.pack({}), Wish())
    return "seconds" in lane.receive(Wish())[0]


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
    product = tmp_path / "product"
    (product / "savedmodel").mkdir(parents=True)
    (product / "savedmodel" / "saved_model.pb").write_bytes(b"")
    write_json(product / SIGNATURE_FILE, SUM)
    host = host_module.shared_host()
    keeper = Keeper(ProductRef(product, tree_digest(product), "savedmodel"), 1, 1)
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
