"""Slices and thresholds of an analysis, as a training's configuration names them. Standard library only.

A threshold is one line, ``auc >= 0.8`` or ``log_loss <= 0.5``, on all rows together; ``accuracy >= 0.7 by city`` is one
on every value of the column ``city``, which then is a slice as well. Where none is on all rows together, one is added:
the model must be better than a constant, so that no verdict is given without a question.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from components.errors import ConfigError
from components.types.dataset import ColumnType, Task
from components.types.tfx import RATE_METRICS
from components.types.training import PreparedSpec

METRICS: Mapping[Task, tuple[str, ...]] = {
    Task.BINARY: ("auc", "accuracy", "log_loss"),
    Task.MULTICLASS: ("accuracy", "log_loss"),
    Task.REGRESSION: ("mse", "mae"),
}
"""The metrics of an analysis by task, the one that is bounded by default first."""
MARGIN = 0.02
"""How much of the way from a constant to perfect a model must have come, where nothing else is asked of it."""

_LINE = re.compile(r"\s*(\w+)\s*(>=|<=)\s*(\S+)(?:\s+by\s+(.+?))?\s*")


@dataclass(frozen=True)
class Threshold:
    """A bound on one metric, on all rows together or on every value of a column."""

    metric: str
    bound: float
    column: str = ""
    """Empty for all rows together."""

    @property
    def is_lower(self) -> bool:
        """Whether the metric must be at least the bound; else at most."""
        return self.metric in RATE_METRICS


def read_thresholds(
    lines: Iterable[str], spec: PreparedSpec, where: str, largest_share: Callable[[], float]
) -> tuple[Threshold, ...]:
    """Return the thresholds of a training, with the one that is always there.

    Args:
        lines: As in the configuration.
        spec: The prepared data, for the task and the columns.
        where: What the lines are called in an error.
        largest_share: Gives the share of the most frequent class in the train split; asked only where it counts.

    Raises:
        ConfigError: a line cannot be read, or names a metric or column that is not there.
    """
    found = [_read(line, spec, where) for line in lines]
    if not any(not each.column for each in found):
        found.insert(0, better_than_constant(spec, largest_share))
    return tuple(found)


def read_slices(names: Iterable[str], thresholds: Iterable[Threshold], spec: PreparedSpec) -> tuple[str, ...]:
    """Return the columns by which rows are cut: those that are named, and those that a threshold names.

    Raises:
        ConfigError: a column is not there, or its values are no names.
    """
    columns = dict.fromkeys([*names, *(each.column for each in thresholds if each.column)])
    for column in columns:
        _require_slice(column, spec)
    return tuple(columns)


def better_than_constant(spec: PreparedSpec, largest_share: Callable[[], float]) -> Threshold:
    """Return the threshold that a model which always says the same does not pass.

    The best constant has an AUC of 0.5, is right as often as the most frequent class occurs, or errs by the variance.

    Args:
        spec: The prepared data.
        largest_share: Gives the share of the most frequent class in the train split.
    """
    metric = METRICS[spec.task][0]
    if spec.task is Task.REGRESSION:
        return Threshold(metric, (1 - MARGIN) * spec.target_scale**2)
    constant = 0.5 if spec.task is Task.BINARY else largest_share()
    return Threshold(metric, constant + MARGIN * (1 - constant))


def _read(line: str, spec: PreparedSpec, where: str) -> Threshold:
    match = _LINE.fullmatch(line)
    known = METRICS[spec.task]
    if match is None:
        raise ConfigError(
            f"{where}: `{line}` is no threshold; write it like `{known[0]} "
            f"{'>=' if known[0] in RATE_METRICS else '<='} 0.7`, or with ` by COLUMN` for every value of a column"
        )
    metric, sign, text, column = match.groups()
    if metric not in known:
        raise ConfigError(
            f"{where}: `{metric}` is no metric of a {spec.task.value} model; there are {', '.join(known)}"
        )
    threshold = Threshold(metric, _number(text, line, where), column or "")
    if (sign == ">=") is not threshold.is_lower:
        better = "higher" if threshold.is_lower else "lower"
        raise ConfigError(f"{where}: `{line}` bounds {metric} the wrong way round; {better} is better")
    return threshold


def _number(text: str, line: str, where: str) -> float:
    try:
        bound = float(text)
    except ValueError:
        bound = math.nan
    if not math.isfinite(bound):
        raise ConfigError(f"{where}: `{text}` in `{line}` is no number")
    return bound


def _require_slice(column: str, spec: PreparedSpec) -> None:
    kinds = {each.name: each.type for each in spec.inputs if not each.shape}
    usable = sorted(name for name, kind in kinds.items() if kind is not ColumnType.FLOAT64)
    if column not in kinds:
        raise ConfigError(
            f"slices: `{column}` is no input of {spec.model}; these can be: {', '.join(usable) or 'none'}"
        )
    if kinds[column] is ColumnType.FLOAT64:
        raise ConfigError(
            f"slices: the numbers of `{column}` would each be a slice of its own; "
            f"these columns have names: {', '.join(usable) or 'none'}"
        )
