"""Golden requests: which rows are kept for them, and what the servers' answers come to."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from math import nan

import pytest

from components.errors import InfrastructureError
from components.release.guards.evidence import GoldenRow, ReplayEvidence
from components.release.targets.memory import MemoryTarget
from components.types.record import canonical_json, load
from components.types.release import ModelRef, Role
from pipelines.release.golden import golden_verdict
from pipelines.release.replay import GOLDEN_ROWS, golden_rows
from pipelines.release.requests import RequestRow

MODEL, VERSION, TOLERANCE = "taxi", 2, 1e-5
REPLAY = ReplayEvidence(
    "d" * 64,
    requests=40,
    distinct=40,
    unequal=0,
    largest_difference=0.0,
    tolerance=TOLERANCE,
    golden=tuple(
        GoldenRow(json.dumps({"row": row}), {"prediction": "yes", "probabilities": [0.25, 0.75]}) for row in range(4)
    ),
)


def reply(prediction: object = "yes", probabilities: tuple[float, ...] = (0.25, 0.75)) -> bytes:
    outputs = [{"name": "prediction", "data": [prediction]}, {"name": "probabilities", "data": list(probabilities)}]
    return json.dumps({"outputs": outputs}).encode()


def target(answers: Callable[[int, bytes], bytes] | None) -> MemoryTarget:
    made = MemoryTarget(MODEL, answers=answers)
    made.deploy(Role.CANARY, ModelRef(MODEL, VERSION, "d" * 64))
    return made


def row_of(body: bytes) -> int:
    found: int = json.loads(body)["row"]
    return found


def test_servers_that_answer_as_the_offline_prediction_pass() -> None:
    asked: list[tuple[int, int]] = []

    def answers(version: int, body: bytes) -> bytes:
        asked.append((version, row_of(body)))
        return reply()

    verdict = golden_verdict(target(answers), VERSION, REPLAY)
    assert verdict.passed
    assert verdict.reasons[0].startswith("4 golden requests")
    assert asked == [(VERSION, 0), (VERSION, 1), (VERSION, 2), (VERSION, 3)]


@pytest.mark.parametrize(
    "other",
    [reply("no"), reply("yes", (0.26, 0.74)), reply("yes", (0.25,)), b'{"error": "out of memory"}', b"<html>", b""],
    ids=["label", "probability", "shape", "error", "no JSON", "nothing"],
)
def test_one_answer_that_differs_refuses_and_is_counted(other: bytes) -> None:
    verdict = golden_verdict(target(lambda _, body: other if row_of(body) == 2 else reply()), VERSION, REPLAY)
    assert not verdict.passed
    assert verdict.reasons[0].startswith("1 of 4 golden requests")


@pytest.mark.parametrize(("apart", "passes"), [(0.9 * TOLERANCE, True), (1.1 * TOLERANCE, False)])
def test_the_tolerance_is_the_one_of_the_replay(apart: float, passes: bool) -> None:
    near = reply("yes", (0.25 + apart, 0.75 - apart))
    assert golden_verdict(target(lambda *_: near), VERSION, REPLAY).passed is passes


def test_servers_that_have_no_answer_refuse_and_the_first_reason_is_told() -> None:
    verdict = golden_verdict(target(None), VERSION, REPLAY)
    assert not verdict.passed
    assert "4 of 4 golden requests" in verdict.reasons[0]
    assert "status 503: nothing answers in memory" in verdict.reasons[0]


def test_a_version_that_is_not_there_answers_nothing() -> None:
    verdict = golden_verdict(target(lambda *_: reply()), VERSION + 1, REPLAY)
    assert not verdict.passed
    assert "status 404" in verdict.reasons[0]


@pytest.mark.parametrize("replay", [None, replace(REPLAY, golden=())])
def test_without_kept_rows_nothing_passes(replay: ReplayEvidence | None) -> None:
    assert not golden_verdict(target(lambda *_: reply()), VERSION, replay).passed


def test_a_target_that_is_down_is_no_verdict() -> None:
    down = target(lambda *_: reply())
    down.down = True
    with pytest.raises(InfrastructureError):
        golden_verdict(down, VERSION, REPLAY)


@pytest.mark.parametrize(("count", "kept"), [(1, 1), (8, 8), (9, 5), (1_000, 8)])
def test_a_few_rows_are_kept_from_all_over(count: int, kept: int) -> None:
    rows = [RequestRow(b'{"row": %d}' % number, None) for number in range(count)]
    found = golden_rows(rows, [{"prediction": float(number)} for number in range(count)])
    assert len(found) == kept <= GOLDEN_ROWS
    assert [json.loads(each.request)["row"] for each in found] == [each.outputs["prediction"] for each in found]
    assert json.loads(found[-1].request)["row"] >= count * 3 // 4


def test_a_row_without_a_number_to_compare_with_is_not_kept() -> None:
    rows = [RequestRow(b"{}", None)] * 2
    assert [each.outputs for each in golden_rows(rows, [{"prediction": nan}, {"prediction": 1.0}])] == [
        {"prediction": 1.0}
    ]


def test_kept_rows_come_back_from_the_ledger_as_they_were() -> None:
    assert load(ReplayEvidence, json.loads(canonical_json(REPLAY))) == REPLAY
