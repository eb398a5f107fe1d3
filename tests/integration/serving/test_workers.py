"""Several workers behind one port: one dies and nobody notices, all stop together, and a stop reaches every one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from components.types.release import JudgeSettings, TrafficSplit

pytestmark = pytest.mark.slow

INFER = "/v2/models/sum/infer"
QUESTION = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1.0]}]}


def pids(running):
    return {each["worker"]: each["pid"] for each in running.status()["workers"]}


def is_gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def answers(running, requests, path=INFER, question=QUESTION):
    return [running.ask("POST", path, question)[0] for _ in range(requests)]


@pytest.fixture
def two(running, products):
    running.place(1, ("sum", 3, products["sum"]))
    running.start("--workers", "2", "--state-dir", str(running.folder / "state"))
    running.wait_for(lambda: running.is_at("sum", 1) and len(pids(running)) == 2)
    return running


def is_replaced(running, worker, victim):
    with suppress(ConnectionError):  # what waited for a worker that is given up is cut off
        return pids(running)[worker] != victim
    return False


def is_said(running, words):
    return words in running.log()


def status_file(running, worker):
    return json.loads((running.folder / "state" / "workers" / f"{worker}.json").read_text())


def stable_requests(running):
    return running.status()["reports"]["sum"]["stable"]["requests"]


def test_every_worker_answers_and_each_shows_all(two):
    assert set(answers(two, 100)) == {200}
    two.wait_for(lambda: stable_requests(two) == 100)
    totals = [two.folder / "state" / "totals" / f"{number}.json" for number in range(2)]
    two.wait_for(lambda: all(b"requests|3|stable|200" in path.read_bytes() for path in totals))
    assert two.metric('towpath_gateway_requests_total{code="200",model="sum"') == 100


def test_a_killed_worker_is_replaced_and_no_later_request_fails(running, products):
    running.place(1, ("sum", 3, products["sum"]))
    running.start("--workers", "3")
    running.wait_for(lambda: running.is_at("sum", 1) and len(pids(running)) == 3)
    assert set(answers(running, 50)) == {200}
    running.wait_for(lambda: stable_requests(running) == 50)
    before = pids(running)
    for victim in before.values():
        os.kill(victim, signal.SIGKILL)
        assert set(answers(running, 60)) == {200}
    running.wait_for(lambda: not set(pids(running).values()) & set(before.values()))
    assert stable_requests(running) > 50
    assert "worker 1 ended (SIGKILL)" in running.log()


def test_a_worker_that_keeps_dying_leaves_its_share_to_the_others(two):
    for wait_s in ("0.00", "0.25", "0.50", "1.00", "2.00"):
        victim = status_file(two, 1)["pid"]
        os.kill(victim, signal.SIGKILL)
        two.wait_for(partial(is_said, two, f"worker 1 ended (SIGKILL); it is replaced in {wait_s} s"))
        if wait_s != "2.00":
            two.wait_for(partial(is_replaced, two, 1, victim))
    longest_s = 0.0
    for _ in range(20):
        begun_s = time.monotonic()
        assert answers(two, 1) == [200]
        longest_s = max(longest_s, time.monotonic() - begun_s)
    assert longest_s < 1.8, "a connection waited for the worker that is gone"
    two.wait_for(partial(is_replaced, two, 1, victim))


def test_sigterm_lets_every_worker_finish_what_it_has(running, products):
    running.place(1, ("slow", 1, products["slow"]))
    running.start("--workers", "2")
    running.wait_for(lambda: running.is_at("slow", 1))
    workers = list(pids(running).values())
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(answers, running, 1, "/v2/models/slow/infer") for _ in range(4)]
        time.sleep(0.15)
        assert running.stop() == 0
        assert [each.result() for each in asked] == [[200]] * 4
    assert all(map(is_gone, workers))


def test_sighup_reads_the_snapshot_again_in_every_worker(two, products):
    found = two.snapshot.stat()
    text = two.snapshot.read_text()
    changed = text.replace('"rev": 1', '"rev": 2').replace('"sequence": 1', '"sequence": 2')
    with two.snapshot.open("r+") as file:  # the same file, of the same size and age: polling cannot see it
        file.write(changed)
    os.utime(two.snapshot, ns=(found.st_atime_ns, found.st_mtime_ns))
    time.sleep(0.6)
    assert two.is_at("sum", 1)
    two.process.send_signal(signal.SIGHUP)
    two.wait_for(lambda: two.is_at("sum", 2))


def test_workers_end_with_their_parent_in_whichever_way(two):
    workers = list(pids(two).values())
    two.process.kill()
    two.process.wait()
    end = time.monotonic() + 60
    while not all(map(is_gone, workers)):
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_stop_by_hand_reaches_every_worker_and_outlives_the_gateway(two, sum_versions):
    versions = {number: sum_versions(number) for number in (1, 2)}
    two.route(TrafficSplit("sum", 2, stable=1, canary=2, weight=50), versions)
    two.wait_for(lambda: two.is_at("sum", 2))
    assert sorted(set(offsets(two))) == [1000.0, 2000.0]
    (two.folder / "kill").mkdir()
    (two.folder / "kill" / "sum").write_text("2\n")
    two.wait_for(lambda: two.status()["reports"]["sum"]["killed"])
    assert set(offsets(two)) == {1000.0}
    (two.folder / "kill" / "sum").unlink()
    assert two.stop() == 0
    two.start("--workers", "2", "--state-dir", str(two.folder / "state"))
    assert two.status()["reports"]["sum"]["weight"] == 0
    assert set(offsets(two)) == {1000.0}
    two.route(TrafficSplit("sum", 3, stable=1, canary=2, weight=99), versions)
    two.wait_for(lambda: two.is_at("sum", 3))
    assert set(offsets(two)) == {1000.0}, "it was said of version 2, not of a revision"
    report = two.status()["reports"]["sum"]
    assert (report["rev"], report["weight"], report["killed"]) == (3, 0, True)


def offsets(running, requests=40):
    found = []
    for _ in range(requests):
        status, answer = running.ask("POST", INFER, QUESTION)
        assert status == 200
        found.append(answer["outputs"][0]["data"][0] - 1.0)
    return found


def test_a_canary_that_crashes_its_worker_is_thrown_out_of_all(running, products, sum_versions):
    versions = {1: sum_versions(1), 2: products["slow"]}
    running.route(TrafficSplit("sum", 1, stable=1, canary=2, weight=99), versions, JudgeSettings(time_limit_s=30))
    running.start("--workers", "2", "--time-s", "30", "--state-dir", str(running.folder / "state"))
    running.wait_for(lambda: running.is_at("sum", 1) and len(pids(running)) == 2)
    many = {"inputs": [{"name": "x", "shape": [24], "datatype": "FP64", "data": [1.0] * 24}]}
    with ThreadPoolExecutor(8) as pool:
        for _ in range(8):
            pool.submit(suppressed, running, many)
        time.sleep(0.5)
        for pid in pids(running).values():
            os.kill(pid, signal.SIGSEGV)
        running.wait_for(lambda: running.status()["reports"]["sum"]["breaker"] is not None)
    report = running.status()["reports"]["sum"]
    assert report["weight"] == 0
    assert "died of SIGSEGV while the canary, version 2, computed" in report["breaker"]
    assert set(offsets(running)) == {1000.0}


def suppressed(running, question):
    with suppress(OSError):
        running.ask("POST", INFER, question)


def test_a_gateway_without_a_snapshot_says_so_once(running):
    running.start("--workers", "3", wait=False)
    assert running.process.wait(120) == 2
    assert running.log().count("there is no router snapshot") == 1


def test_a_port_and_a_state_folder_belong_to_one_gateway(two, products, tmp_path):
    command = [sys.executable, "-m", "components.serving", "--snapshot", str(two.snapshot)]
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    for arguments, sentence, code in (
        (["--workers", "2", "--port", str(two.port)], "choose another port", 1),
        (["--port", "0", "--state-dir", str(two.folder / "state")], "another gateway uses", 3),
        (["--workers", "2", "--port", "0", "--state-dir", str(two.folder / "state")], "another gateway uses", 3),
        (["--workers", "0"], "0 workers cannot be", 2),
    ):
        done = subprocess.run([*command, *arguments], env=environment, capture_output=True, text=True, timeout=120)
        assert sentence in done.stderr
        assert done.returncode == code
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("workers", [("2", "2"), ("1", "2"), ("1", "1")])
def test_of_gateways_started_at_the_same_moment_on_one_port_one_serves(running, products, tmp_path, workers):
    running.place(1, ("sum", 3, products["sum"]))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "components.serving", "--snapshot", str(running.snapshot), "--port", str(port)]
    processes = []
    for number, several in enumerate(workers):
        options = ["--workers", several, "--state-dir", str(tmp_path / f"state-{number}")]
        options += ["--port-file", str(tmp_path / f"port-{number}")]
        processes.append(subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True))
    try:
        running.wait_for(lambda: any(each.poll() is not None for each in processes))
        (refused,) = (each for each in processes if each.poll() is not None)
        assert refused.returncode == 1
        assert (
            f"cannot listen on 127.0.0.1:{port}: Address already in use; choose another port" in refused.stderr.read()
        )
        running.wait_for(lambda: any((tmp_path / f"port-{number}").exists() for number in range(2)))
        running.port = port
        assert set(answers(running, 40)) == {200}
        assert sum((tmp_path / f"port-{number}").exists() for number in range(2)) == 1
    finally:
        for each in processes:
            each.terminate()
            each.communicate(timeout=120)
