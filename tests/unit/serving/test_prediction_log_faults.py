"""What the prediction log does when its process hangs or dies, or its folder cannot be written: nobody waits for it."""

import logging
import os
import resource
import signal
import sys
import time

import pytest

from components.serving.prediction_log.files import LogFolder
from tests.prediction_logs import logged, offer, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def many_descriptors():
    """Hold all descriptors that `select.select` knows, as a gateway with many connections does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4_096)), hard))
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1_024)]
    yield
    for each in held:
        os.close(each)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_left_overs_are_swept_and_the_files_of_the_living_stay(tmp_path):
    unfinished = tmp_path / ".unfinished"
    unfinished.mkdir()
    host = os.uname().nodename
    dead, alive = unfinished / f"w0-{host}-999999999-1.part", unfinished / f"w1-{host}-{os.getppid()}-1.part"
    elsewhere, long_ago = unfinished / "w0-pod-a-12-1.part", unfinished / "w0-pod-b-12-1.part"
    own_number = unfinished / f"w0-{host}-{os.getpid()}-4.part"
    for path in (dead, alive, elsewhere, long_ago, own_number):
        path.write_bytes(b"PAR1")
    os.utime(long_ago, (1, 1))
    assert LogFolder(tmp_path, 0).sweep() == 3
    assert set(unfinished.iterdir()) == {alive, elsewhere}


def test_a_folder_that_cannot_be_written_harms_nobody_and_is_tried_again(open_log, served, tmp_path, caplog):
    (tmp_path / "log").write_text("in the way")
    with caplog.at_level(logging.ERROR, "towpath.gateway"):
        log, model = open_log(file_rows=1, retry_s=0.1, file_s=0.1), served("sum")
        offer(log, model, [[1.0]])
        wait_for(lambda: log.counts.failures >= 3)
        assert len([each for each in caplog.records if "prediction log" in each.message]) == 1
        (tmp_path / "log").unlink()
        wait_for(lambda: log.counts.written == 1)
    assert logged(log, "sum")["x"].to_list() == [1.0]


def test_what_cannot_be_written_does_not_grow(open_log, served, tmp_path):
    (tmp_path / "log").write_text("in the way")
    log, model = open_log(file_rows=3, retry_s=60), served("sum")
    for index in range(90):
        offer(log, model, [[float(index)]], request_id=str(index))
    wait_for(lambda: log.counts.dropped >= 90 - 2 * 3 - 3)  # what is kept is a little more than two files
    log.close()
    assert log.counts.dropped == 90
    assert log.counts.written == 0


def test_while_the_process_that_writes_hangs_the_queue_fills_and_nothing_else_is_lost(open_log, served):
    log, model = open_log(queue_rows=400, rows_per_s=1e9), served("network")
    offer(log, model, [[0.5] * 30] * 100)
    wait_for(lambda: log._feeder.taken_rows == 100)  # it is up
    os.kill(log._feeder.pid, signal.SIGSTOP)
    offered = 100
    while not log.counts.dropped:
        offer(log, model, [[0.5] * 30] * 100)
        offered += 100
        time.sleep(0.001)
    os.kill(log._feeder.pid, signal.SIGCONT)
    wait_for(lambda: log._feeder.taken_rows == offered - log.counts.dropped)
    log.close()
    assert log.counts.written + log.counts.dropped == offered
    assert log.counts.dropped == 100


def test_closing_does_not_wait_for_a_process_that_hangs_and_what_it_was_given_is_not_lost(open_log, served):
    log, model = open_log(), served("sum")
    offer(log, model, [[1.0]])
    wait_for(lambda: log._feeder.taken_rows == 1)
    os.kill(log._feeder.pid, signal.SIGSTOP)
    offer(log, model, [[2.0]])
    began = time.monotonic()
    log.close(0.5)
    assert time.monotonic() - began < 3
    os.kill(log._feeder.pid, signal.SIGCONT)
    wait_for(lambda: list(log._options.folder.rglob("*.parquet")))
    assert logged(log, "sum")["x"].to_list() == [1.0, 2.0]


def test_a_process_that_was_killed_is_replaced_and_its_rows_are_counted(open_log, served, caplog):
    log, model = open_log(file_rows=10), served("sum")
    offer(log, model, [[float(index)] for index in range(10)])
    wait_for(lambda: log.counts.written == 10)
    offer(log, model, [[1.0], [2.0], [3.0]])
    wait_for(lambda: log._feeder.taken_rows == 13)
    with caplog.at_level(logging.ERROR, "towpath.gateway"):
        killed = log._feeder.pid
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda: log._feeder.pid not in (None, killed))
    assert [each.message for each in caplog.records] == [
        "the prediction log's process ended (SIGKILL) and took up to 3 rows with it; it is started again in 0.5 s"
    ]
    offer(log, model, [[4.0]])
    assert logged(log, "sum")["x"].to_list() == [*map(float, range(10)), 4.0]
    assert (log.counts.written, log.counts.dropped, log.counts.files) == (11, 3, 2)


def test_a_process_that_says_what_nobody_understands_is_replaced(open_log, served, caplog, monkeypatch, tmp_path):
    other = tmp_path / "other-python"
    other.write_text("#!/bin/sh\necho rubbish\nexec cat > /dev/null\n")
    other.chmod(0o755)
    with caplog.at_level(logging.ERROR, "towpath.gateway"):
        monkeypatch.setattr(sys, "executable", str(other))
        log, model = open_log(), served("sum")
        wait_for(lambda: caplog.records)
        monkeypatch.undo()
    (said,) = [each.message for each in caplog.records]
    assert said.startswith(
        "the prediction log's process was ended with up to 0 rows, because it could not be fed (JSON"
    )
    assert said.endswith("; it is started again in 0.5 s")
    offer(log, model, [[4.0]])
    assert logged(log, "sum")["x"].to_list() == [4.0]


def test_a_gateway_with_many_connections_waits_for_its_log_as_any_other(many_descriptors, open_log, served, caplog):
    log, model = open_log(), served("sum")
    offer(log, model, [[1.0]])
    with caplog.at_level(logging.ERROR, "towpath.gateway"):
        assert logged(log, "sum")["x"].to_list() == [1.0]
    assert not caplog.records


def test_one_entry_that_cannot_be_logged_costs_only_itself(open_log, served):
    log, model = open_log(), served("sum")
    offer(log, model, [[1.0]], request_id="good")
    offer(log, model, [[2.0]], request_id="\ud800")
    offer(log, model, [[2.0]], status=object())
    offer(log, model, [[3.0]], request_id="good")
    assert logged(log, "sum")["x"].to_list() == [1.0, 3.0]
    assert log.counts.dropped == 2
