"""What "worse by a margin" means: which way a metric gets better, and in which unit its margin is. Pure arithmetic.

A margin is absolute for metrics on a fixed scale (auc, accuracy, r2, …), and a share of the reference's value for those
in the target's units or without an upper end (rmse, mae, median_absolute_error, log_loss): 0.01 is one percent there.
"""

from __future__ import annotations

from components.types.dataset import Task
from components.types.evaluation import METRIC_DIRECTIONS, Direction

RELATIVE_METRICS = frozenset({"rmse", "mae", "median_absolute_error", "log_loss"})


def direction_of(task: Task, metric: str) -> Direction | None:
    """Return which way a metric gets better, or None when nobody said."""
    return METRIC_DIRECTIONS[task].get(metric)


def improvement(value: float, reference: float, direction: Direction) -> float:
    """Return by how much `value` is better than `reference`; negative when it is worse."""
    return value - reference if direction is Direction.HIGHER else reference - value


def allowance(metric: str, reference: float, margin: float) -> float:
    """Return the margin in the metric's own units."""
    return margin * abs(reference) if metric in RELATIVE_METRICS else margin


def is_not_worse(improved_by: float, allowed: float) -> bool:
    """Return whether an improvement, negative when worse, stays within what is allowed; NaN does not.

    Two numbers that differ by the last bits of a float are the same number: 0.95 - 0.01 must meet 0.94.
    """
    return improved_by >= -allowed - 1e-12 * max(1.0, abs(improved_by), abs(allowed))
