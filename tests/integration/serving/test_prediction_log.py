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
import pyarrow.parquet as pq
import pytest

from components.types.release import TrafficSplit

pytestmark = pytest.mark.slow

KILLS = 60 if os.environ.get("TOWPATH_FULL") == "1" else 4
WRITES_WITHOUT_END = """
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
log = PredictionLog(LogOptions(folder / "predictions", file_rows=1, rows_per_s=1e9))
batch = model.plan.from_rows([[1.0]], None)
outputs = model.predict(batch)
is_ready = False
for index in count():
    log.offer(model, Role.STABLE, 1, str(index), 1, batch, outputs, 0.001, 200)
    time.sleep(0.0005)
    if log.counts.files and not is_ready:
        is_ready = True
        print("ready", flush=True)
"""

ROOT = Path(__file__).resolve().parents[3]
ROW = {"inputs": {"x": [1.0]}}


def ask(gateway, index, **headers):
    return gateway.ask("POST", "/invocations", ROW, x_request_id=f"request-{index}", **headers)[0]


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


def test_after_a_kill_every_visible_file_is_whole_and_the_next_start_sweeps(running, sum_versions):
    running.place(1, ("sum", 7, sum_versions(7)))
    folder = running.folder / "predictions"
    running.start("--log-dir", str(folder))
    for index in range(50):
        assert ask(running, index) == 200
    assert running.stop() == 0
    whole = files(folder)
    assert sum(pq.read_metadata(path).num_rows for path in whole) == 50

    running.start("--log-dir", str(folder))
    pid = running.process.pid
    for index in range(50):
        assert ask(running, index) == 200
    left_over = folder / ".unfinished" / f"w0-{os.uname().nodename}-{pid}-1.part"
    left_over.write_bytes(b"PAR1 half a file")
    os.kill(pid, signal.SIGKILL)
    running.process.wait()
    assert files(folder) == whole  # the open file was lost, and nothing else

    running.start("--log-dir", str(folder))
    running.wait_for(lambda: not left_over.exists())
    assert running.metric("towpath_gateway_log_files_deleted_total") == 1
    assert ask(running, 0) == 200


def test_killed_at_any_moment_of_writing_only_whole_files_are_seen(tmp_path):
    random = Random(7)
    command = [sys.executable, "-c", WRITES_WITHOUT_END, str(tmp_path)]
    for _ in range(KILLS):
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
            assert process.stdout.readline() == b"ready\n"
            time.sleep(random.uniform(0.0, 0.6))
            process.kill()
        shutil.rmtree(tmp_path / "product")
        for path in files(tmp_path / "predictions"):
            assert pq.read_table(path).num_rows >= 1
    assert len(files(tmp_path / "predictions")) >= KILLS
    assert len(list((tmp_path / "predictions" / ".unfinished").iterdir())) <= 1  # the last one's, at most


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
    prlimit(running.process.pid, 1, (100, 100))  # RLIMIT_FSIZE
    for index in range(1, 100):
        assert ask(running, index) == 200
    began = time.monotonic()
    assert running.stop() == 0
    assert time.monotonic() - began < 15
    assert files(folder) == []
    assert not list((folder / ".unfinished").iterdir())


def test_without_a_log_no_arrow_is_loaded(running, sum_versions):
    running.place(1, ("sum", 7, sum_versions(7)))
    running.start()
    assert ask(running, 0) == 200
    maps = f"/proc/{running.process.pid}/maps"
    if not os.path.exists(maps):  # noqa: PTH110
        pytest.skip("there is no /proc here")
    with open(maps) as found:  # noqa: PTH123
        assert "libarrow" not in found.read()
