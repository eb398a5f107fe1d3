"""Labels are kept beside the predictions, whoever judges them, and a disk that fails costs no request."""

import json
import logging
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from components.monitoring.labels import read_labels
from components.serving.gateway import Gateway
from components.serving.label_log import KEPT_DAYS, LABELS, LabelLog
from components.serving.model_table import make_table
from components.serving.options import Limits


def lines(folder):
    return [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]


def test_labels_that_a_gateway_is_sent_are_kept_and_refused_ones_are_not(tmp_path, served, only, ask):
    gateway = Gateway(Limits(), labels=LabelLog(tmp_path, 2))
    gateway.table = make_table(7, {"network": only(served("network"))}, {})
    many = [{"id": "a", "label": "benign"}, {"id": "b", "label": "malignant"}]
    assert ask(gateway, "POST", "/models/network/labels", many).json == {"joined": 0, "unknown": 2}
    assert ask(gateway, "POST", "/models/network/labels", [*many, {"id": "c", "label": "perhaps"}]).status == 400
    assert ask(gateway, "POST", "/models/network/labels", {"id": "d", "label": "benign"}).status == 200
    found = lines(tmp_path / LABELS / "network")
    assert found == [*many, {"id": "d", "label": "benign"}]
    (path,) = (tmp_path / LABELS / "network").iterdir()
    assert path.name.startswith(f"{datetime.now(UTC).date().isoformat()}-w2-")


def test_a_gateway_without_a_log_keeps_nothing_and_answers(tmp_path, gateway, ask):
    made = gateway("network")
    assert ask(made, "POST", "/models/network/labels", {"id": "a", "label": "benign"}).status == 200


def test_what_is_kept_can_be_read_as_labels_of_any_kind(tmp_path):
    log = LabelLog(tmp_path, 0)
    log.keep("m", [(b"a", 1), (b"b", 2.5)])
    log.keep("m", [(b"c", True), (b"a", 3)])
    (path,) = (tmp_path / LABELS / "m").iterdir()
    numbers = tmp_path / "numbers.jsonl"
    numbers.write_text("\n".join(line for line in path.read_text().splitlines() if "true" not in line))
    found = dict(read_labels([numbers]).with_columns(pl.col("label").cast(pl.Float64)).rows())
    assert found == {"a": 3.0, "b": 2.5}


def test_old_days_are_deleted(tmp_path):
    folder = tmp_path / LABELS / "m"
    folder.mkdir(parents=True)
    today = datetime.now(UTC).date()
    for days in (KEPT_DAYS + 1, KEPT_DAYS, 1):
        (folder / f"{(today - timedelta(days=days)).isoformat()}-w0-1.jsonl").touch()
    LabelLog(tmp_path, 0).keep("m", [(b"a", 1)])
    assert len(list(folder.iterdir())) == 3
    assert not (folder / f"{(today - timedelta(days=KEPT_DAYS + 1)).isoformat()}-w0-1.jsonl").exists()


def test_a_disk_that_fails_is_said_once_and_costs_no_request(tmp_path, served, only, ask):
    (tmp_path / LABELS).write_text("in the way")
    gateway = Gateway(Limits(), labels=LabelLog(tmp_path, 0))
    gateway.table = make_table(7, {"network": only(served("network"))}, {})
    said = []
    handler = logging.Handler()
    handler.emit = said.append
    logging.getLogger("towpath.gateway").addHandler(handler)
    for _ in range(3):
        assert ask(gateway, "POST", "/models/network/labels", {"id": "a", "label": "benign"}).status == 200
    logging.getLogger("towpath.gateway").removeHandler(handler)
    assert ["cannot be kept" in each.getMessage() for each in said] == [True]


def test_labels_for_which_there_is_half_the_room_leave_the_file_as_it_was(tmp_path, caplog):
    resource = pytest.importorskip("resource")
    log = LabelLog(tmp_path, 0)
    log.keep("m", [(b"a", 1)])
    (path,) = (tmp_path / LABELS / "m").iterdir()
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, limits[1]))  # a write past it is a short one
    try:
        log.keep("m", [(b"b", 2)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert "labels of m cannot be kept" in caplog.text
    log.keep("m", [(b"c", 3)])
    assert lines(path.parent) == [{"id": "a", "label": 1}, {"id": "c", "label": 3}]
