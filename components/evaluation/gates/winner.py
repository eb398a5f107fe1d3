"""Choose the winner among the trainings, on the validation split; the test split is not looked at. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from components.errors import GateRefusedError
from components.evaluation.gates.findings import UnusableEvidenceError, read_metric
from components.evaluation.gates.margins import allowance, improvement, is_not_worse
from components.types.evaluation import Direction, Evaluation


@dataclass(frozen=True)
class Standing:
    """Where a training stands on the validation split."""

    training: str
    value: float | None
    """The primary metric; None when it cannot be used."""
    behind_baseline: bool
    """Whether it is worse than the baseline by more than the margin."""
    note: str
    """Why it cannot win; empty when it can."""


@dataclass(frozen=True)
class Selection:
    """The winner, and how all trainings stand, best first."""

    winner: Evaluation
    metric: str
    standings: tuple[Standing, ...]


def select_winner(evaluations: Sequence[Evaluation], baseline: str | None, margin: float = 0.0) -> Selection:
    """Return the best training by the primary metric of the validation split.

    The baseline may win: a tie goes to it, as the simpler model, and else to the first name. A training that is worse
    than the baseline by more than the margin is marked; it never wins, since the baseline is better.

    Args:
        evaluations: One per training, of one model on one dataset.
        baseline: The baseline's name, or None where there is none.
        margin: How much worse than the baseline is not yet behind it, in the unit of a margin.

    Raises:
        GateRefusedError: there is nothing to choose from, or the evaluations cannot be compared.
    """
    _require_one_contest(evaluations)
    usable, unusable = _read(evaluations)
    if not usable:
        raise GateRefusedError(f"no training can win: {'; '.join(each.note for each in unusable)}")
    direction = usable[0][2]
    ranked = sorted(
        usable, key=lambda each: (-_oriented(each[1], direction), each[0].training != baseline, each[0].training)
    )
    reference = next((value for each, value, _ in ranked if each.training == baseline), None)

    def behind(value: float) -> bool:
        if reference is None:
            return False
        allowed = allowance(evaluations[0].primary, reference, margin)
        return not is_not_worse(improvement(value, reference, direction), allowed)

    standings = [Standing(each.training, value, behind(value), "") for each, value, _ in ranked]
    return Selection(ranked[0][0], evaluations[0].primary, (*standings, *unusable))


def _oriented(value: float, direction: Direction) -> float:
    return value if direction is Direction.HIGHER else -value


def _read(evaluations: Sequence[Evaluation]) -> tuple[list[tuple[Evaluation, float, Direction]], list[Standing]]:
    usable, unusable = [], []
    for each in sorted(evaluations, key=lambda found: found.training):
        try:
            usable.append(
                (each, *read_metric(each.task, each.validation.metrics, each.primary, "the validation split"))
            )
        except UnusableEvidenceError as error:
            unusable.append(Standing(each.training, None, True, f"{each.training}: {error}"))
    return usable, unusable


def _require_one_contest(evaluations: Sequence[Evaluation]) -> None:
    if not evaluations:
        raise GateRefusedError("there is no evaluation to choose a winner from; run the trainings first")
    first = evaluations[0]
    if len({each.training for each in evaluations}) != len(evaluations):
        raise GateRefusedError("one training was evaluated twice; each may compete once")
    for each in evaluations[1:]:
        for name in ("model", "task", "primary", "dataset_digest"):
            if getattr(each, name) != getattr(first, name):
                raise GateRefusedError(
                    f"{each.training} and {first.training} differ in {name} ({getattr(each, name)}, "
                    f"{getattr(first, name)}); evaluate them again on the same data"
                )
        if each.validation.rows != first.validation.rows:
            raise GateRefusedError(
                f"{each.training} was evaluated on {each.validation.rows} validation rows, {first.training} on "
                f"{first.validation.rows}; evaluate them again"
            )
