"""The prediction log of a running gateway: whole files whatever dies, and answers whatever the disk does."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

import polars as pl
import psutil
import pyarrow.parquet as pq
import pytest

from components.types.release import TrafficSplit

pytestmark = pytest.mark.slow

KILLS = 60 if os.environ.get("TOWPATH_FULL") == "1" else 4
LOGS = """
import sys
import time
from itertools import count
from pathlib import Path
from bench.products import sum_product
from components.serving.measurements import Measurements
from components.serving.prediction_log import LogOptions, PredictionLog
from components.serving.served_model import load_served
from components.types.release import ModelRef, PlacedModel, Role

folder = Path(sys.argv[1])
product = sum_product(folder / "product")
model = load_served(PlacedModel(ModelRef("sum", 7, product.digest), product.directory, "onnx"), Measurements())
batch = model.plan.from_rows([[1.0]], None)
outputs = model.predict(batch)

def offer(log, index):
    log.offer(model, Role.STABLE, 1, str(index), 1, batch, outputs, 0.001, 200)
"""
WRITES_WITHOUT_END = f"""{LOGS}
log = PredictionLog(LogOptions(folder / "predictions", file_rows=1, rows_per_s=1e9))
is_ready = False
for index in count():
    offer(log, index)
    time.sleep(0.0005)
    if log.counts.files and not is_ready:
        is_ready = True
        print(log._feeder.pid, flush=True)
"""
HANDS_OVER_AND_WAITS = f"""{LOGS}
log = PredictionLog(LogOptions(folder / "predictions", rows_per_s=1e9))
for index in range(5_000):
    offer(log, index)
while log._feeder.taken_rows < 5_000:
    time.sleep(0.01)
time.sleep(1)  # what was taken is sent at once
print(log._feeder.pid, flush=True)
time.sleep(600)
"""

ROOT = Path(__file__).resolve().parents[3]
ROW = {"inputs": {"x": [1.0]}}


def ask(gateway, index, **headers):
    return gateway.ask("POST", "/invocations", ROW, x_request_id=f"request-{index}", **headers)[0]


def writer_of(running):
    """The process that writes the log of a gateway without workers, once there is one."""
    gateway = psutil.Process(running.process.pid)
    running.wait_for(gateway.children)
    (child,) = gateway.children()
    return child


def outcome(running, name):
    return running.metric(f'towpath_gateway_log_rows_total{{outcome="{name}"}}')


def files(folder):
    return sorted(folder.glob("*/date=*/*.parquet"))


def test_what_several_workers_answered_is_there_after_a_stop_once_each(running, sum_versions):
    versions = {number: sum_versions(number) for number in (7, 8, 9)}
    running.route(TrafficSplit("sum", 4, stable=7, shadow=9), versions)
    folder = running.folder / "predictions"
    running.start("--workers", "2", "--log-dir", str(folder))
    running.wait_for(lambda: running.is_at("sum", 4))
    for index in range(120):
        assert ask(running, index, x_user_id=f"user-{index % 10}") == 200
    assert running.stop() == 0
    found = pl.scan_parquet(folder / "sum").collect()
    stable, shadow = (found.filter(role=role) for role in ("stable", "shadow"))
    assert Counter(stable["request_id"]) == {f"request-{index}": 1 for index in range(120)}
    assert stable["prediction"].unique().to_list() == [7001.0]
    assert stable["user"].n_unique() == 10
    assert stable["rev"].unique().to_list() == [4]
    assert shadow["prediction"].unique().to_list() == [9001.0]
    assert shadow["version"].unique().to_list() == [9]
    assert set(shadow["request_id"]) <= set(stable["request_id"])
    assert (found["latency_ms"] > 0).all()
    workers = {path.name.split("-")[2] for path in files(folder)}
    assert workers == {"w0", "w1"}
    assert not list((folder / ".unfinished").iterdir())


def test_after_a_kill_of_all_every_visible_file_is_whole_and_the_next_start_sweeps(running, sum_versions):
    running.place(1, ("sum", 7, sum_versions(7)))
    folder = running.folder / "predictions"
    running.start("--log-dir", str(folder))
    for index in range(50):
        assert ask(running, index) == 200
    assert running.stop() == 0
    whole = files(folder)
    assert sum(pq.read_metadata(path).num_rows for path in whole) == 50

    running.start("--log-dir", str(folder))
    writer = writer_of(running)
    for index in range(50):
        assert ask(running, index) == 200
    left_over = folder / ".unfinished" / f"w0-{os.uname().nodename}-{writer.pid}-1.part"
    left_over.parent.mkdir(exist_ok=True)
    left_over.write_bytes(b"PAR1 half a file")
    running.process.kill()  # first: it would start another
    writer.kill()
    running.process.wait()
    psutil.wait_procs([writer])
    assert files(folder) == whole  # the open file was lost, and nothing else

    running.start("--log-dir", str(folder))
    running.wait_for(lambda: not left_over.exists())
    running.wait_for(lambda: running.metric("towpath_gateway_log_files_deleted_total") == 1)
    assert ask(running, 0) == 200


def test_a_file_is_closed_at_the_age_that_was_asked_for_and_read_while_the_gateway_goes_on(running, sum_versions):
    running.place(1, ("sum", 7, sum_versions(7)))
    folder = running.folder / "predictions"
    running.start("--log-dir", str(folder), "--log-file-s", "0.5")
    assert [ask(running, index) for index in range(20)] == [200] * 20
    running.wait_for(lambda: sum(pq.read_metadata(path).num_rows for path in files(folder)) == 20)


def test_killed_at_any_moment_of_writing_only_whole_files_are_seen(tmp_path):
    random = Random(7)
    command = [sys.executable, "-c", WRITES_WITHOUT_END, str(tmp_path)]
    for _ in range(KILLS):
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
            writer = psutil.Process(int(process.stdout.readline()))
            time.sleep(random.uniform(0.0, 0.6))
            process.kill()
            writer.kill()
        psutil.wait_procs([writer])
        shutil.rmtree(tmp_path / "product")
        for path in files(tmp_path / "predictions"):
            assert pq.read_table(path).num_rows >= 1
    assert len(files(tmp_path / "predictions")) >= KILLS
    assert len(list((tmp_path / "predictions" / ".unfinished").iterdir())) <= 1  # the last one's, at most


def test_what_was_handed_over_is_written_though_whoever_answered_was_killed(tmp_path):
    command = [sys.executable, "-c", HANDS_OVER_AND_WAITS, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, process_group=0) as process:
        writer = psutil.Process(int(process.stdout.readline()))
        os.killpg(process.pid, signal.SIGKILL)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            writer.send_signal(number)  # as if somebody stopped what is left of the gateway
    gone, _ = psutil.wait_procs([writer], timeout=120)
    assert gone
    found = pl.scan_parquet(tmp_path / "predictions" / "sum").collect()
    assert Counter(found["request_id"]) == {str(index): 1 for index in range(5_000)}


def test_a_killed_writer_is_replaced_and_what_it_took_along_is_counted(running, sum_versions):
    running.place(1, ("sum", 7, sum_versions(7)))
    folder = running.folder / "predictions"
    running.start("--log-dir", str(folder))
    assert [ask(running, index) for index in range(30)] == [200] * 30
    time.sleep(1)  # until most of them are handed over
    writer_of(running).kill()
    assert [ask(running, index) for index in range(30, 60)] == [200] * 30
    running.wait_for(lambda: "the prediction log's process ended (SIGKILL)" in running.log())
    running.wait_for(lambda: psutil.Process(running.process.pid).children())
    assert [ask(running, index) for index in range(60, 90)] == [200] * 30
    dropped = outcome(running, "dropped")
    assert running.stop() == 0
    found = set(pl.scan_parquet(folder / "sum").collect()["request_id"])
    assert found >= {f"request-{index}" for index in range(60, 90)}
    assert len(found) + dropped == 90
    assert sum("prediction log" in line for line in running.log().splitlines()) == 1


def test_a_writer_that_hangs_holds_nobody_up(running, sum_versions):
    running.place(1, ("sum", 7, sum_versions(7)))
    running.start("--log-dir", str(running.folder / "predictions"))
    assert ask(running, 0) == 200
    writer = writer_of(running)
    running.wait_for((running.folder / "predictions").exists)
    writer.suspend()
    began = time.monotonic()
    assert [ask(running, index) for index in range(1, 200)] == [200] * 199
    assert time.monotonic() - began < 10
    began = time.monotonic()
    assert running.stop() == 0
    assert time.monotonic() - began < 15
    assert f"the prediction log's process {writer.pid} takes its time and is left to end by itself" in running.log()
    writer.resume()
    psutil.wait_procs([writer])
    assert pl.scan_parquet(running.folder / "predictions" / "sum").collect().height == 200


def test_a_folder_that_cannot_be_written_touches_no_answer(running, sum_versions):
    running.place(1, ("sum", 7, sum_versions(7)))
    folder = running.folder / "predictions"
    folder.write_text("in the way")
    running.start("--log-dir", str(folder))
    for index in range(200):
        assert ask(running, index) == 200
    running.wait_for(lambda: running.metric("towpath_gateway_log_failures_total") >= 1)
    assert ask(running, 0) == 200
    assert running.stop() == 0
    complaints = [line for line in running.log().splitlines() if "prediction log" in line]
    assert 1 <= len(complaints) <= 2  # one at its start, one for the rows that were lost in the end


def test_a_full_disk_touches_no_answer_and_shows_nothing_of_a_file(running, sum_versions):
    """A limit on the size of files stands for a full disk: each write beyond it fails with an error."""
    prlimit = pytest.importorskip("resource").prlimit
    running.place(1, ("sum", 7, sum_versions(7)))
    folder = running.folder / "predictions"
    running.start("--log-dir", str(folder))
    assert ask(running, 0) == 200
    prlimit(writer_of(running).pid, 1, (100, 100))  # RLIMIT_FSIZE
    for index in range(1, 100):
        assert ask(running, index) == 200
    began = time.monotonic()
    assert running.stop() == 0
    assert time.monotonic() - began < 15
    assert files(folder) == []
    assert not list((folder / ".unfinished").iterdir())


@pytest.mark.parametrize("arguments", [(), ("--log-dir", "predictions")])
def test_no_arrow_is_loaded_where_requests_are_answered(running, sum_versions, arguments):
    running.place(1, ("sum", 7, sum_versions(7)))
    running.start(*(str(running.folder / each) if not each.startswith("--") else each for each in arguments))
    assert ask(running, 0) == 200
    if arguments:
        running.wait_for(lambda: "libarrow" in loaded_by(writer_of(running).pid))
    assert "libarrow" not in loaded_by(running.process.pid)


def loaded_by(pid):
    maps = Path(f"/proc/{pid}/maps")
    if not maps.exists():
        pytest.skip("there is no /proc here")
    return maps.read_text()
