"""A port is one gateway's, from before it listens until its process ends."""

import socket
import subprocess
import sys

import pytest

from components.errors import InfrastructureError
from components.serving.listening import listen, listen_for_workers

HOST = "127.0.0.1"


def as_one(host, port):
    return listen(host, port)


def as_three(host, port):
    return listen_for_workers(host, port, 3)


def port_of(listening):
    return (listening[0] if isinstance(listening, list) else listening).getsockname()[1]


@pytest.mark.parametrize("second", [as_one, as_three])
@pytest.mark.parametrize("first", [as_one, as_three])
def test_a_port_is_refused_to_a_second_gateway_before_the_first_listens(first, second):
    with first(HOST, 0) as listening:
        port = port_of(listening)
        with pytest.raises(InfrastructureError, match=f"cannot listen on {HOST}:{port}: .*; choose another port"):
            second(HOST, port).__enter__()
    with second(HOST, port) as listening:
        assert port_of(listening) == port


@pytest.mark.parametrize("start", [as_one, as_three])
def test_a_port_on_which_somebody_else_listens_is_refused(start):
    with socket.create_server((HOST, 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(InfrastructureError, match="choose another port"):
            start(HOST, port).__enter__()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere 127.0.0.2 is not this machine's")
def test_the_same_port_of_another_address_is_another(tmp_path):
    with listen(HOST, 0) as listener, listen_for_workers("127.0.0.2", port_of(listener), 2) as others:
        assert [each.getsockname() for each in others] == [("127.0.0.2", port_of(listener))] * 2


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a bound port is not shared to begin with")
@pytest.mark.parametrize("second", [as_one, as_three])
@pytest.mark.parametrize("first", [as_one, as_three])
@pytest.mark.parametrize(("one", "other"), [("0.0.0.0", HOST), (HOST, "0.0.0.0"), ("::", HOST), (HOST, "::")])
def test_a_port_of_all_addresses_is_refused_to_a_gateway_on_one_and_the_other_way_round(first, second, one, other):
    if not socket.has_dualstack_ipv6() and "::" in (one, other):
        pytest.skip("this machine has no IPv6 sockets that take IPv4, too")
    with first(one, 0) as listening:
        port = port_of(listening)
        with pytest.raises(InfrastructureError, match=f":{port}: Address already in use; choose another port"):
            second(other, port).__enter__()
    with second(other, port) as listening:
        assert port_of(listening) == port


def test_workers_share_one_port_for_as_long_as_they_last():
    with listen_for_workers(HOST, 0, 3) as listeners:
        assert len({each.getsockname() for each in listeners}) == 1
        for each in listeners:
            each.listen()
        socket.create_connection(listeners[0].getsockname(), timeout=5).close()


@pytest.mark.slow
def test_a_gateway_that_is_killed_leaves_its_port_to_the_next():
    code = """
import sys, time
from components.serving.listening import listen_for_workers
with listen_for_workers("127.0.0.1", 0, 2) as listeners:
    print(listeners[0].getsockname()[1], flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        port = int(process.stdout.readline())
        with pytest.raises(InfrastructureError):
            listen(HOST, port).__enter__()
        process.kill()
    with listen(HOST, port) as listener:
        assert port_of(listener) == port


@pytest.mark.slow
def test_somebody_who_listens_after_the_gateway_bound_its_port_ends_it_in_one_sentence(tmp_path):
    code = f"""
import socket
from pathlib import Path
from components.errors import InfrastructureError
from components.serving.board import Board, KillSwitch
from components.serving.listening import listen
from components.serving.options import GatewayOptions
from components.serving.server import serve_on
from components.stage.files import write_json
from components.types.release import RouterSnapshot

snapshot = Path({str(tmp_path)!r}) / "router.json"
write_json(snapshot, RouterSnapshot(1, {{}}))
with listen("127.0.0.1", 0) as listener, socket.socket() as other:
    other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    other.bind(listener.getsockname())
    other.listen()
    board = Board(snapshot.parent / "state", kill_switch=KillSwitch(snapshot))
    try:
        serve_on(listener, GatewayOptions(snapshot), board, lambda: print("listens"))
    except InfrastructureError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240)
    assert "choose another port" in done.stdout, done.stderr
    assert "listens" not in done.stdout
