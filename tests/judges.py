"""Judges over boards of their own, and the traffic that tests put before them."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np

from components.serving.board import Board
from components.serving.judging import LiveJudge
from components.types.judging import BadEvent
from components.types.release import JudgeSettings, Role, TrafficSplit

CANARY_SPLIT = TrafficSplit("taxi", 7, stable=3, canary=4, previous=2, weight=5)
SHADOW_SPLIT = TrafficSplit("taxi", 6, stable=3, shadow=4, previous=2)
STABLE, CANARY = Role.STABLE, Role.CANARY
ERROR = BadEvent.SERVER_ERROR
_hashes = random.Random(0)


def judges(folder: Path, split: TrafficSplit = CANARY_SPLIT, workers: int = 1, **settings) -> list[LiveJudge]:
    made = JudgeSettings(**settings)
    return [LiveJudge(Board(folder, worker, workers), split, made) for worker in range(workers)]


def all_kinds(**counts: int) -> dict[str, int]:
    """What a report says of bad events: every kind, those that did not happen too."""
    return {kind.value: counts.get(kind.value, 0) for kind in BadEvent}


def number(value: float) -> dict[str, np.ndarray]:
    return {"prediction": np.array([value])}


def word(name: str, probability: float = 0.8) -> dict[str, np.ndarray]:
    return {
        "prediction": np.array([name], object),
        "probabilities": np.array([[1 - probability, probability]], np.float32),
    }


def new() -> int:
    return _hashes.getrandbits(64)


def ask(judge: LiveJudge, role: Role = STABLE, bad: BadEvent | None = None, **given) -> int:
    request = given.get("request", new())
    outputs = None if bad else given.get("outputs", number(1.0))
    judge.answered(role, given.get("user", request), request, given.get("seconds", 0.001), bad, outputs)
    return request
