"""Metrics as functions of row weights, so that a bootstrap resample is one row of a matrix. Knows no direction.

With a weight of 1 for every row each metric equals scikit-learn's (the tests compare them); scikit-learn itself takes
one weight vector at a time and 1.2 s to import. A metric that is undefined on the rows (AUC of one class, anything of
a NaN) is NaN here, and `measured` leaves it out: what is missing is refused later, by the gates.

`calibration_error` is the expected calibration error over 15 equal-width bins: of the positive class's probability for
binary (Naeini, Cooper, Hauskrecht: Obtaining Well Calibrated Probabilities Using Bayesian Binning, AAAI 2015), of the
winning class's for multiclass (Guo et al.: On Calibration of Modern Neural Networks, ICML 2017).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from components.evaluation.record.scored import Floats, Integers, Scored
from components.types.dataset import Task
from components.types.evaluation import METRIC_DIRECTIONS

Weighted = Callable[[Floats], Floats]
"""From weights of shape (n_resamples, n_rows) to one value per resample."""

CALIBRATION_BINS = 15
_PROBABILITY_FLOOR = float(np.finfo(np.float32).eps)  # products give float32; scikit-learn clips there too
_SIGNIFICANT_DIGITS = 10


def weighted_metrics(scored: Scored) -> Mapping[str, Weighted]:
    """Return every metric of the task, in the order of `METRIC_DIRECTIONS`."""
    families = {Task.BINARY: _binary, Task.MULTICLASS: _multiclass, Task.REGRESSION: _regression}
    found = families[scored.task](scored)
    return {name: found[name] for name in METRIC_DIRECTIONS[scored.task]}


def measured(scored: Scored) -> dict[str, float]:
    """Return the value of every metric that is defined on these rows."""
    if scored.rows == 0:
        return {}
    once = np.ones((1, scored.rows))
    values = {name: rounded(metric(once)[0]) for name, metric in weighted_metrics(scored).items()}
    return {name: value for name, value in values.items() if math.isfinite(value)}


def rounded(value: float) -> float:
    """Return `value` to 10 significant digits, so that the last bits of a sum never change a file."""
    return float(f"{value:.{_SIGNIFICANT_DIGITS}g}")


def calibration_bins(probability: Floats) -> Integers:
    """Return the bin of each probability: 0 to `CALIBRATION_BINS` - 1, the upper edge belonging to the last."""
    return np.clip((probability * CALIBRATION_BINS).astype(np.int64), 0, CALIBRATION_BINS - 1)


def _binary(scored: Scored) -> dict[str, Weighted]:
    positive = scored.label.astype(np.int64) == 1
    said_yes = scored.predicted.astype(np.int64) == 1
    score = scored.probabilities[:, 1]
    finite = bool(np.isfinite(scored.probabilities).all())

    def count(rows: Floats, chosen: np.ndarray) -> Floats:
        return _sums(rows, chosen.astype(np.float64))

    def precision(weights: Floats) -> Floats:
        hits = count(weights, positive & said_yes)
        return _ratio(hits, count(weights, said_yes), empty=0.0)  # who never says yes is not precise

    return {
        "auc": _only_if(finite, _auc(positive, score)),
        "average_precision": _only_if(finite, _average_precision(positive, score)),
        "accuracy": _mean((positive == said_yes).astype(np.float64)),
        "f1": lambda w: _ratio(2 * count(w, positive & said_yes), count(w, positive) + count(w, said_yes)),
        "precision": precision,
        "recall": lambda w: _ratio(count(w, positive & said_yes), count(w, positive)),
        "log_loss": _only_if(finite, _mean(_surprise(scored))),
        "brier": _only_if(finite, _mean((score - positive) ** 2)),
        "calibration_error": _only_if(finite, _calibration_error(positive, score)),
    }


def _multiclass(scored: Scored) -> dict[str, Weighted]:
    label, predicted = scored.label.astype(np.int64), scored.predicted.astype(np.int64)
    finite = bool(np.isfinite(scored.probabilities).all())
    top = scored.probabilities.argmax(axis=1)
    confidence = scored.probabilities.max(axis=1)
    each = [_auc(label == index, scored.probabilities[:, index]) for index in range(len(scored.classes))]
    return {
        "accuracy": _mean((label == predicted).astype(np.float64)),
        "f1_macro": _f1_macro(label, predicted, len(scored.classes)),
        "auc_ovr": _only_if(finite, lambda w: np.mean([auc(w) for auc in each], axis=0)),
        "log_loss": _only_if(finite, _mean(_surprise(scored))),
        "calibration_error": _only_if(finite, _calibration_error(label == top, confidence)),
    }


def _regression(scored: Scored) -> dict[str, Weighted]:
    label, predicted = scored.label.astype(np.float64), scored.predicted.astype(np.float64)
    error = predicted - label
    centred = label - label.mean()

    def r2(weights: Floats) -> Floats:
        spread = _sums(weights, centred**2) - _sums(weights, centred) ** 2 / weights.sum(axis=1)
        constant = spread <= 1e-12 * _sums(weights, np.maximum(label**2, 1e-300))
        return np.where(constant, np.nan, 1 - _sums(weights, error**2) / np.where(constant, 1.0, spread))

    return {
        "r2": r2,
        "rmse": lambda w: np.sqrt(_mean(error**2)(w)),
        "mae": _mean(np.abs(error)),
        "median_absolute_error": _median(np.abs(error)),
    }


def _sums(weights: Floats, values: Floats) -> Floats:
    """Return the weighted sums; einsum, because BLAS sums in an order that depends on its threads."""
    return np.einsum("rn,n->r", weights, values)


def _ratio(above: Floats, below: Floats, empty: float = math.nan) -> Floats:
    return np.where(below > 0, above / np.where(below > 0, below, 1.0), empty)


def _mean(values: Floats) -> Weighted:
    return lambda weights: _sums(weights, values) / weights.sum(axis=1)


def _only_if(defined: bool, metric: Weighted) -> Weighted:
    return metric if defined else lambda weights: np.full(len(weights), np.nan)


def _surprise(scored: Scored) -> Floats:
    """Return minus the logarithm of each true class's probability, rows scaled to sum 1."""
    total = scored.probabilities.sum(axis=1)
    given = scored.probabilities[np.arange(scored.rows), scored.label.astype(np.int64)]
    share = given / np.where(total > 0, total, 1.0)
    return -np.log(np.clip(share, _PROBABILITY_FLOOR, 1 - _PROBABILITY_FLOOR))


def _groups(key: np.ndarray) -> tuple[Integers, Integers]:
    """Return the order that sorts `key`, and where each run of equal values starts in it."""
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    return order, np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))


def _by_group(values: Floats, starts: Integers) -> Floats:
    """Return the sums of each run of columns; where every run is one column there is nothing to add."""
    return values if len(starts) == values.shape[1] else np.add.reduceat(values, starts, axis=1)


def _auc(positive: np.ndarray, score: Floats) -> Weighted:
    """Return the area under the ROC curve as the probability that a positive outranks a negative, ties half."""
    order, starts = _groups(score)
    is_positive = positive[order].astype(np.float64)

    def auc(weights: Floats) -> Floats:
        ordered = weights[:, order]
        yes = _by_group(ordered * is_positive, starts)
        no = _by_group(ordered * (1 - is_positive), starts)
        below = np.cumsum(no, axis=1) - no / 2
        return _ratio((yes * below).sum(axis=1), yes.sum(axis=1) * no.sum(axis=1))

    return auc


def _average_precision(positive: np.ndarray, score: Floats) -> Weighted:
    order, starts = _groups(-score)
    is_positive = positive[order].astype(np.float64)

    def average_precision(weights: Floats) -> Floats:
        ordered = weights[:, order]
        yes = _by_group(ordered * is_positive, starts)
        said = np.cumsum(_by_group(ordered, starts), axis=1)
        precision = np.cumsum(yes, axis=1) / np.where(said > 0, said, 1.0)
        return _ratio((yes * precision).sum(axis=1), yes.sum(axis=1))

    return average_precision


def _calibration_error(came_true: np.ndarray, probability: Floats) -> Weighted:
    finite = np.where(np.isfinite(probability), probability, 0.0)
    order, starts = _groups(calibration_bins(finite))
    gap = (probability - came_true)[order]
    return lambda w: np.abs(np.add.reduceat(w[:, order] * gap, starts, axis=1)).sum(axis=1) / w.sum(axis=1)


def _f1_macro(label: Integers, predicted: Integers, n_classes: int) -> Weighted:
    cells = label * n_classes + predicted
    order, starts = _groups(cells)
    present = cells[order][starts]

    def f1_macro(weights: Floats) -> Floats:
        flat = np.zeros((len(weights), n_classes * n_classes))
        flat[:, present] = np.add.reduceat(weights[:, order], starts, axis=1)
        confusion = flat.reshape(-1, n_classes, n_classes)
        hits = np.diagonal(confusion, axis1=1, axis2=2)
        seen = confusion.sum(axis=1) + confusion.sum(axis=2)
        each = 2 * hits / np.where(seen > 0, seen, 1.0)
        return each.sum(axis=1) / (seen > 0).sum(axis=1)  # a class in neither label nor prediction has no F1

    return f1_macro


def _median(values: Floats) -> Weighted:
    order = np.argsort(values, kind="stable")
    ordered = values[order]

    def median(weights: Floats) -> Floats:
        reached = np.cumsum(weights[:, order], axis=1)
        total = reached[:, -1:]
        lower = np.argmax(reached > np.floor((total - 1) / 2), axis=1)
        upper = np.argmax(reached > np.floor(total / 2), axis=1)
        return (ordered[lower] + ordered[upper]) / 2

    return median
