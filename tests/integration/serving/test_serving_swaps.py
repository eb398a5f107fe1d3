"""Following the snapshot: swaps under load, what cannot be loaded, and what is refused."""

import http.client
import json
import os
import shutil
import signal
import socket
import threading
import time

import pytest

from components.types.product import GRAPH_FILE, ProductRef
from tests.waiting import until

pytestmark = pytest.mark.slow
CLIENTS = 6
JSON_TYPE = {"Content-Type": "application/json"}
FULL = os.environ.get("TOWPATH_FULL") == "1"
SWAPS = 500 if FULL else 25
BETWEEN = 2_000 if FULL else 0
"""So many requests at least are answered between two swaps: a million in all, when everything is wanted."""


def test_no_request_is_lost_or_torn_over_many_swaps(running, sum_versions, under_load):
    running.place(1, ("sum", 1, sum_versions(1)))
    running.start()
    askers = under_load(running.port, CLIENTS)
    for version in range(2, SWAPS + 2):
        running.place(version, ("sum", version, sum_versions(version)))
        running.wait_for(lambda expected=version: running.metric("towpath_gateway_served_rev") == expected)
        enough = (version - 1) * BETWEEN
        until(lambda enough=enough: answers(askers) >= enough or not working(askers), f"{enough} answers", 600)
    assert len(set().union(*(asker.versions for asker in askers))) > SWAPS * 0.8
    print(f"{answers(askers)} requests over {SWAPS} swaps, none lost and none torn")


def answers(askers):
    return sum(asker.answers for asker in askers)


def working(askers):
    return not any(asker.wrong for asker in askers)  # one that met something wrong tells of it in the end


def answered(running, model="sum"):
    status, content = running.ask("POST", f"/models/{model}/invocations", {"inputs": {"x": [0.0]}})
    assert status == 200, content
    return content["model_version"], content["predictions"][0]["prediction"]


def test_a_version_whose_bytes_were_changed_is_refused_and_the_old_one_serves_on(running, sum_versions):
    running.place(1, ("sum", 1, sum_versions(1)))
    running.start()
    broken = sum_versions(2)
    with (broken.directory / GRAPH_FILE).open("ab") as graph:
        graph.write(b"\x00")
    running.place(2, ("sum", 2, broken))
    running.wait_for(lambda: running.metric('towpath_gateway_load_failures_total{model="sum"}') >= 1)
    assert answered(running) == ("1", 1000.0)
    assert running.metric("towpath_gateway_served_rev") == 1
    assert running.metric("towpath_gateway_snapshot_sequence") == 2
    running.wait_for(lambda: "was promised" in running.status()["workers"][0]["problems"].get("sum", ""))
    assert "was promised" in running.log()
    assert "Traceback" not in running.log()

    running.place(3, ("sum", 3, sum_versions(3)))
    running.wait_for(lambda: running.metric("towpath_gateway_served_rev") == 3)
    assert answered(running) == ("3", 3000.0)


def test_bytes_that_are_repaired_are_tried_again(running, sum_versions):
    running.place(1, ("sum", 1, sum_versions(1)))
    running.start()
    late = sum_versions(2)
    away = late.directory.with_name("away")
    shutil.move(late.directory, away)
    running.place(2, ("sum", 2, late))
    running.wait_for(lambda: running.metric('towpath_gateway_load_failures_total{model="sum"}') >= 1)
    shutil.move(away, late.directory)
    running.wait_for(lambda: running.metric("towpath_gateway_served_rev") == 2)
    assert answered(running) == ("2", 2000.0)


def test_a_model_that_does_not_load_does_not_stop_the_others(running, sum_versions, products):
    broken = ProductRef(products["sum"].directory, "0" * 64)
    running.place(1, ("good", 1, sum_versions(1)), ("bad", 1, broken))
    running.start()
    assert answered(running, "good") == ("1", 1000.0)
    status, content = running.ask("POST", "/models/bad/invocations", {"inputs": {"x": [0.0]}})
    assert (status, "cannot be served" in content["error"]) == (503, True)
    assert running.ask("GET", "/v2/health/ready")[0] == 503
    running.place(2, ("good", 1, sum_versions(1)))
    running.wait_for(lambda: running.ask("GET", "/v2/health/ready")[0] == 200)
    assert running.ask("POST", "/models/bad/invocations", {})[0] == 404


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"sequence": 9}',
        '{"sequence": "9", "models": {}}',
        '{"sequence": 9, "models": {"a/b": 1}}',
        '{"sequence": 9, "models": {"sum": {"split": {"model": "other", "rev": 9}}}}',
        '{"sequence": 9, "models": {"sum": {"split": {"model": "sum", "rev": 9, "stable": 4}}}}',
    ],
)
def test_a_snapshot_that_is_none_is_refused(running, sum_versions, text):
    running.place(5, ("sum", 1, sum_versions(1)))
    running.start()
    running.snapshot.write_text(text)
    running.wait_for(lambda: running.metric("towpath_gateway_snapshots_refused_total") >= 1)
    assert answered(running) == ("1", 1000.0)
    assert running.process.poll() is None


def test_an_older_revision_and_a_changed_one_are_refused(running, sum_versions):
    running.place(5, ("sum", 1, sum_versions(1)))
    running.start()
    running.place(4, ("sum", 2, sum_versions(2)))
    running.wait_for(lambda: "older than 5" in running.log())
    running.place(5, ("sum", 2, sum_versions(2)))
    running.wait_for(lambda: "without a new revision" in running.log())
    assert answered(running) == ("1", 1000.0)
    running.place(6, ("sum", 2, sum_versions(2)))
    running.wait_for(lambda: answered(running) == ("2", 2000.0))


def test_a_snapshot_that_vanishes_changes_nothing(running, sum_versions):
    running.place(5, ("sum", 1, sum_versions(1)))
    running.start()
    running.snapshot.unlink()
    running.wait_for(lambda: "is gone" in running.log())
    assert answered(running) == ("1", 1000.0)


def test_a_hang_up_signal_takes_the_snapshot_at_once(running, sum_versions):
    running.place(1, ("sum", 1, sum_versions(1)))
    running.start()
    for version in (2, 3):
        running.place(version, ("sum", version, sum_versions(version)))
        running.process.send_signal(signal.SIGHUP)
        running.wait_for(lambda expected=version: answered(running)[0] == str(expected))
    assert running.process.poll() is None


def test_without_a_snapshot_the_gateway_does_not_start(running):
    running.start(wait=False)
    assert running.process.wait(120) == 2
    assert running.log().strip() == (
        f"there is no router snapshot {running.snapshot}; register a model first (`towpath run MODEL`)"
    )


def test_beyond_this_machine_the_gateway_does_not_start_without_a_token(running, sum_versions):
    running.place(1, ("sum", 1, sum_versions(1)))
    running.start("--host", "0.0.0.0", wait=False, TOWPATH_GATEWAY_TOKEN="")
    assert running.process.wait(120) == 2
    assert "TOWPATH_GATEWAY_TOKEN" in running.log()


def test_with_a_token_every_request_needs_it(running, sum_versions):
    token = "a-token-of-sufficient-length"
    running.place(1, ("sum", 1, sum_versions(1)))
    running.start("--host", "0.0.0.0", TOWPATH_GATEWAY_TOKEN=token)
    assert running.ask("GET", "/metrics")[0] == 401
    assert running.ask("GET", "/v2/health/live")[0] == 200
    assert running.ask("GET", "/metrics", Authorization=f"Bearer {token}")[0] == 200
    assert token not in running.log()


def test_a_port_that_is_taken_is_named(running, sum_versions):
    running.place(1, ("sum", 1, sum_versions(1)))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        running.start("--port", str(port), wait=False)
        assert running.process.wait(120) == 1
    assert f"cannot listen on 127.0.0.1:{port}" in running.log()


@pytest.mark.parametrize("signal_name", ["SIGTERM", "SIGINT"])
def test_a_stop_signal_finishes_what_was_taken(running, products, signal_name):
    running.place(1, ("slow", 1, products["slow"]))
    running.start("--time-s", "30")
    answers = []

    def ask():
        answers.append(running.ask("POST", "/invocations", {"inputs": {"x": [3.0] * 8}}))

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for asker in askers:
        asker.start()
    running.wait_for(lambda: running.metric("towpath_gateway_in_flight") == 3)
    running.process.send_signal(getattr(signal, signal_name))
    assert running.process.wait(120) == 0
    for asker in askers:
        asker.join(120)
    assert [status for status, _ in answers] == [200, 200, 200]


def test_draining_loses_no_request_of_a_connection_that_was_taken(running, sum_versions):
    running.place(1, ("sum", 1, sum_versions(1)))
    running.start()
    results, lost = [], []

    def ask():
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=60)
            answered = 0
            try:
                while True:
                    connection.request("POST", "/invocations", b'{"inputs": {"x": [1.0]}}', JSON_TYPE)
                    response = connection.getresponse()
                    results.append((response.status, json.loads(response.read())["predictions"]))
                    answered += 1
                    if response.getheader("Connection") == "close":
                        break
            except OSError as error:  # nobody listens any more, unless an answer came on this connection before
                lost.extend([error] * bool(answered))
                return
            finally:
                connection.close()

    askers = [threading.Thread(target=ask) for _ in range(4)]
    for asker in askers:
        asker.start()
    time.sleep(0.5)
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(120) == 0
    for asker in askers:
        asker.join(120)
    assert lost == []
    assert len(results) > 100
    assert all(result == (200, [{"prediction": 1001.0}]) for result in results)
