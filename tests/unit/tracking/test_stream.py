"""Following a live file of metrics: in batches, through torn lines and a server that fails."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from components.errors import InfrastructureError
from components.tracking.stream import Follower, Point, read_stored


class Sent:
    """Takes what is sent, and fails when it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[Point]] = []
        self.down = False

    def __call__(self, points: Sequence[Point]) -> None:
        if self.down:
            raise InfrastructureError("the server is down")
        self.batches.append(list(points))

    @property
    def steps(self) -> list[int]:
        return [point.step for batch in self.batches for point in batch]


def line(step: int, value: float | None = 0.5) -> str:
    return json.dumps({"event": "metric", "step": step, "name": "loss", "value": value, "time": 1.5}) + "\n"


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert condition()


def test_a_burst_of_points_is_one_batch(tmp_path: Path) -> None:
    sent, path = Sent(), tmp_path / "progress.jsonl"
    with Follower(path, sent, interval_s=30):
        path.write_text("".join(line(step) for step in range(500)))
    assert [len(batch) for batch in sent.batches] == [500]
    assert sent.batches[0][0] == Point("loss", 0, 0.5, 1.5)


def test_points_are_sent_while_the_file_grows_and_each_once(tmp_path: Path) -> None:
    sent, path = Sent(), tmp_path / "progress.jsonl"
    with Follower(path, sent, interval_s=0.01), path.open("w") as file:
        for step in range(3):
            file.write(line(step))
            file.flush()
            wait_for(lambda step=step: step in sent.steps)
    assert sent.steps == [0, 1, 2]


def test_half_a_line_waits_for_its_other_half_and_a_torn_line_is_passed_over(tmp_path: Path) -> None:
    sent, path = Sent(), tmp_path / "progress.jsonl"
    first, second = line(1)[:20], line(1)[20:]
    path.write_text(line(0) + first)
    with Follower(path, sent, interval_s=0.01):
        wait_for(lambda: sent.steps == [0])
        with path.open("a") as file:
            file.write(second + '{"event": "metric", "st\n' + "[]\n" + line(2))
    assert sent.steps == [0, 1, 2]


def test_what_a_failing_server_did_not_take_is_sent_later(tmp_path: Path) -> None:
    sent, path = Sent(), tmp_path / "progress.jsonl"
    sent.down = True
    path.write_text(line(0))
    with Follower(path, sent, interval_s=0.01):
        time.sleep(0.1)
        assert sent.steps == []
        sent.down = False
        wait_for(lambda: sent.steps == [0])


def test_what_cannot_be_sent_at_the_end_is_an_error_unless_the_training_failed_too(tmp_path: Path) -> None:
    sent, path = Sent(), tmp_path / "progress.jsonl"
    sent.down = True
    path.write_text(line(0))
    with pytest.raises(InfrastructureError), Follower(path, sent, interval_s=30):
        pass
    with pytest.raises(ZeroDivisionError), Follower(path, sent, interval_s=30):
        raise ZeroDivisionError


def test_a_listener_hears_of_everything_in_order(tmp_path: Path) -> None:
    heard: list[Mapping[str, Any]] = []
    path = tmp_path / "progress.jsonl"
    path.write_text('{"event": "epoch", "epoch": 1, "epochs": 3, "time": 1.0}\n' + line(1))
    with Follower(path, Sent(), heard.append, interval_s=30):
        pass
    assert [event["event"] for event in heard] == ["epoch", "metric"]


def test_a_file_that_never_appears_is_no_error(tmp_path: Path) -> None:
    sent = Sent()
    with Follower(tmp_path / "nothing", sent, interval_s=0.01):
        time.sleep(0.05)
    assert sent.batches == []


def test_a_stored_stream_is_read_whole_and_what_is_not_finite_is_nan(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "name": "loss", "value": 0.25}\n{"step": 2, "name": "loss", "value": null}\n')
    first, second = read_stored(path, 7.0)
    assert first == Point("loss", 1, 0.25, 7.0)
    assert math.isnan(second.value)
