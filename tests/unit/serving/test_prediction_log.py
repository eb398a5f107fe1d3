"""The log keeps what it promises, drops what it must and says how much, and never gets in a request's way."""

import json
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.errors import ConfigError
from components.serving.prediction_log import LogOptions, check_log_options, input_column
from components.types.dataset import MISSING_STRING
from components.types.release import Role
from tests.prediction_logs import logged, offer, wait_for

pytestmark = pytest.mark.slow


def test_every_raw_input_has_a_typed_column_of_its_own(open_log, served):
    log, model = open_log(), served("mixed")
    offer(log, model, [[None, 4, True, "Oslo"], [31.5, 2, False, None]], request_id="abc", user=2**64 - 1)
    found = logged(log, "mixed")
    assert found.select("age", "visits", "smoker", "city").rows() == [(None, 4, True, "Oslo"), (31.5, 2, False, None)]
    assert dict(found.select("age", "visits", "smoker", "city", "prediction").schema) == {
        "age": pl.Float64, "visits": pl.Int64, "smoker": pl.Boolean, "city": pl.String, "prediction": pl.Float64,
    }  # fmt: skip
    assert found["prediction"].to_list() == [500 + 4000 + 1e6 + 1e7, 31.5 + 2000 + 2e7]
    assert found["request_id"].to_list() == ["abc", "abc"]
    assert found["row"].to_list() == [0, 1]
    assert found["user"].to_list() == [2**64 - 1] * 2
    assert found["probabilities"].to_list() == [None, None]
    first = found.row(0, named=True)
    assert (first["version"], first["digest"], first["role"], first["rev"]) == (3, model.ref.digest, "stable", 3)
    assert (first["latency_ms"], first["status"]) == (12.5, 200)
    assert abs(first["time"] - datetime.now(UTC)) < timedelta(minutes=1)
    assert first["date"] == first["time"].date()
    assert MISSING_STRING not in found["city"].to_list()


def test_a_classifier_logs_its_label_and_its_probabilities(open_log, served):
    log, model = open_log(), served("network")
    offer(log, model, [[0.5] * 30, [-0.5] * 30], role=Role.CANARY)
    found = logged(log, "network")
    expected = model.predict(model.plan.from_rows([[0.5] * 30, [-0.5] * 30], None))
    assert found["prediction"].to_list() == expected["prediction"].tolist()
    assert np.array_equal(found["probabilities"].to_numpy(), expected["probabilities"])
    assert found["role"].to_list() == ["canary"] * 2


def test_an_image_is_one_column(open_log, served):
    log, model = open_log(), served("image")
    offer(log, model, [[0.0, 0.25, 0.5, 0.75]], role=None)
    found = logged(log, "image")
    assert found["image"].to_list() == [[0.0, 0.25, 0.5, 0.75]]
    assert found["prediction"].to_list() == [0]
    assert found["role"].to_list() == [""]


def test_a_version_that_failed_is_logged_without_an_answer(open_log, served):
    log, model = open_log(), served("network")
    offer(log, model, [[0.5] * 30], outputs=False, status=500, request_id="failed")
    offer(log, model, [[0.5] * 30], request_id="fine")
    found = logged(log, "network").sort("request_id")
    assert found["prediction"].is_null().to_list() == [True, False]
    assert found["probabilities"].is_null().to_list() == [True, False]
    assert found["status"].to_list() == [500, 200]


def test_an_input_called_like_a_column_of_the_log_keeps_its_values_beside_it():
    assert input_column("time") == "input:time"
    assert input_column("date") == "input:date"
    assert input_column("age") == "age"


def test_a_file_says_what_it_holds(open_log, served):
    log, model = open_log(worker=2), served("network", 9)
    offer(log, model, [[0.5] * 30])
    log.close()
    (path,) = (log._options.folder / "network").rglob("*.parquet")
    about = json.loads(pq.read_schema(path).metadata[b"towpath"])
    assert about == {
        "schema": 1, "model": "network", "version": 9, "digest": model.ref.digest, "task": "binary",
        "classes": ["benign", "malignant"],
    }  # fmt: skip
    assert path.parent.name == f"date={datetime.now(UTC).date()}"
    assert "-v9-w2-" in path.name


def test_a_share_of_the_requests_is_logged_and_stable_and_shadow_of_one_together(open_log, served):
    log, model = open_log(rate=0.25, rows_per_s=1e9), served("sum")
    ids = [str(uuid4()) for _ in range(4_000)]
    for role in (Role.STABLE, Role.SHADOW):
        for each in ids:
            offer(log, model, [[1.0]], request_id=each, role=role)
    found = logged(log, "sum")
    assert 850 < found.filter(role="stable").height < 1_150
    assert sorted(found.filter(role="stable")["request_id"]) == sorted(found.filter(role="shadow")["request_id"])


def test_a_second_has_only_so_many_rows(open_log, served):
    log, model = open_log(rows_per_s=10), served("sum")
    began = time.monotonic()
    for index in range(200):
        offer(log, model, [[1.0]], request_id=str(index))
    most = 10 + 10 * (time.monotonic() - began) + 1
    log.close()
    assert 10 <= log.counts.written <= most
    assert log.counts.written + log.counts.limited == 200
    assert log.counts.dropped == 0


def test_of_a_request_with_too_many_rows_evenly_spaced_ones_are_logged(open_log, served):
    log, model = open_log(rows_per_s=10), served("sum")
    offer(log, model, [[float(index)] for index in range(35)])
    found = logged(log, "sum")
    assert found["row"].to_list() == list(range(0, 35, 4))
    assert found["x"].to_list() == [float(row) for row in range(0, 35, 4)]
    assert found["prediction"].to_list() == found["x"].to_list()
    assert log.counts.limited == 35 - 9


@pytest.mark.parametrize("bound", [{"queue_rows": 99}, {"queue_bytes": 1_000}])
def test_a_full_queue_drops_and_counts(open_log, served, bound):
    log, model = open_log(**bound), served("sum")
    offer(log, model, [[1.0]] * 100)
    offer(log, model, [[5.0]])
    assert logged(log, "sum")["x"].to_list() == [5.0]
    assert log.counts.dropped == 100


def test_long_texts_count_for_what_they_are(open_log, served):
    log, model = open_log(queue_bytes=100_000), served("mixed")
    offer(log, model, [[1.0, 1, True, "x" * 100_000]])
    assert log.counts.dropped == 1


def test_the_queue_has_room_again_once_the_writer_took_from_it(open_log, served):
    log, model = open_log(queue_rows=2), served("sum")
    for index in range(4):
        wait_for(lambda: log._feeder.taken_rows == log._offered_rows)
        offer(log, model, [[float(index)]])
    assert sorted(logged(log, "sum")["x"]) == [0, 1, 2, 3]
    assert log.counts.dropped == 0


def test_files_are_closed_by_rows(open_log, served):
    log, model = open_log(file_rows=10), served("sum")
    for index in range(95):
        offer(log, model, [[float(index)]], request_id=str(index))
    found = logged(log, "sum")
    assert sorted(found["x"]) == [float(index) for index in range(95)]
    assert found["x"].to_list() == found["prediction"].to_list() == [float(each) for each in found["request_id"]]
    assert log.counts.files == len(list(log._options.folder.rglob("*.parquet"))) >= 3
    assert log.counts.written == 95


def test_files_are_closed_by_bytes_and_by_age_while_requests_go_on(open_log, served):
    by_bytes, model = open_log(file_bytes=5_000, total_bytes=1_000_000), served("network")
    offer(by_bytes, model, [[0.5] * 30] * 40)
    wait_for(lambda: by_bytes.counts.files == 1)
    by_age = open_log(by_bytes._options.folder.parent / "aged", file_s=0.2)
    offer(by_age, model, [[0.5] * 30])
    wait_for(lambda: by_age.counts.files == 1)


def test_the_oldest_files_go_when_all_are_too_large(open_log, served):
    log, model = open_log(file_rows=1, file_bytes=1_000, total_bytes=20_000), served("sum")
    for index in range(10):
        offer(log, model, [[float(index)]], request_id=str(index))
        wait_for(lambda: log._feeder.taken_rows == log._offered_rows)
    found = logged(log, "sum")
    sizes = [path.stat().st_size for path in log._options.folder.rglob("*.parquet")]
    assert sum(sizes) <= 20_000
    assert log.counts.deleted == 10 - len(sizes) > 0
    assert sorted(found["x"]) == [float(index) for index in range(10 - len(sizes), 10)]


def test_versions_and_workers_have_files_of_their_own(open_log, served):
    logs = [open_log(worker=worker) for worker in range(2)]
    for log in logs:
        for version in (3, 4):
            offer(log, served("sum", version), [[1.0]])
    for log in logs:
        log.close()
    found = pl.scan_parquet(logs[0]._options.folder / "sum").collect()
    assert sorted(found["version"]) == [3, 3, 4, 4]
    assert len(list(logs[0]._options.folder.rglob("*.parquet"))) == 4


def test_a_reader_never_meets_half_a_file(open_log, served):
    log, model = open_log(file_rows=5, rows_per_s=1e6), served("network")
    folder, stop, seen = log._options.folder, threading.Event(), set()

    def read():
        while not stop.is_set():
            for path in folder.rglob("*.parquet"):
                assert pq.read_metadata(path).num_rows >= 1
                seen.add(path)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for index in range(300):
            offer(log, model, [[float(index)] * 30], request_id=str(index))
        wait_for(lambda: log.counts.written == 300)  # a disk that others use may take longer than closing would wait
    finally:
        stop.set()
        reader.join()
    assert len(seen) > 1


@pytest.mark.parametrize(("rate", "most_calls"), [(1e-12, 8), (1.0, 30)])
def test_offering_costs_a_request_a_few_calls(open_log, served, rate, most_calls):
    log, model, calls = open_log(rate=rate, rows_per_s=1e9), served("network"), []
    batch = model.plan.from_rows([[0.5] * 30], None)
    outputs = model.predict(batch)
    log.offer(model, Role.STABLE, 1, "request-0", 7, batch, outputs, 0.001, 200)  # the first starts what writes
    sys.setprofile(lambda _frame, event, what: calls.append((event, what)) if event.endswith("call") else None)
    try:
        log.offer(model, Role.STABLE, 1, "request-1", 7, batch, outputs, 0.001, 200)
    finally:
        sys.setprofile(None)
    assert 0 < len(calls) - 1 <= most_calls, calls  # without the one that ends the counting


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rate": 0}, "rate is 0"),
        ({"rate": 1.5}, "rate is 1.5"),
        ({"rows_per_s": -1}, "rows_per_s is -1"),
        ({"file_s": float("nan")}, "file_s is nan"),
        ({"total_bytes": 1_000}, "total_bytes is 1000, expected at least file_bytes"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(tmp_path, options, said):
    with pytest.raises(ConfigError, match=said):
        check_log_options(LogOptions(tmp_path, **options))


def test_the_defaults_are_allowed(tmp_path):
    check_log_options(LogOptions(tmp_path))


def test_pyarrow_is_what_the_files_are_typed_by(open_log, served):
    log, model = open_log(), served("network")
    offer(log, model, [[0.5] * 30])
    log.close()
    (path,) = log._options.folder.rglob("*.parquet")
    schema = pq.read_schema(path)
    assert schema.field("time").type == pa.timestamp("us", tz="UTC")
    assert schema.field("probabilities").type == pa.list_(pa.float32(), 2)
    assert schema.field("user").type == pa.uint64()
