"""Bootstrap percentile intervals over rows, and the paired difference of two models. Knows no single metric.

Efron's bootstrap (B. Efron, R. Tibshirani: An Introduction to the Bootstrap, 1993, chapters 13 and 16): rows are drawn
with replacement, as integer weights. Above `MAX_ROWS` rows the resamples come from a fixed random subset of that many,
and the deviations are scaled by sqrt(subset / rows) (Politis, Romano, Wolf: Subsampling, 1999): at that size an
interval is narrow, and its width needs no more.

Percentile intervals of `calibration_error` sit too high (resampling adds noise to every bin): read them as an upper
estimate. A resample on which a metric is undefined is left out of its interval.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from components.evaluation.record.metrics import measured, rounded, weighted_metrics
from components.evaluation.record.scored import Floats, Scored

MAX_ROWS = 20_000
CONFIDENCE = 0.95
_CHUNK_VALUES = 1_000_000  # weights held at once: 8 MB, so that the gathers stay near the processor


def intervals(scored: Scored, resamples: int, seed: int) -> dict[str, tuple[float, float, float]]:
    """Return (value, low, high) of every metric that is defined on these rows."""
    values = measured(scored)
    if not values:
        return {}
    chosen, scale = _subset(scored.rows, seed)
    sample = scored if chosen is None else scored.take(chosen)
    centre = values if chosen is None else measured(sample)
    metrics = {name: metric for name, metric in weighted_metrics(sample).items() if name in centre}
    drawn: dict[str, list[Floats]] = {name: [] for name in metrics}
    for weights in _weights(sample.rows, resamples, seed):
        for name, metric in metrics.items():
            drawn[name].append(metric(weights))
    return {
        name: (values[name], *_percentiles(np.concatenate(parts), centre[name], values[name], scale))
        for name, parts in drawn.items()
    }


def paired_difference(
    first: Scored, second: Scored, metric: str, resamples: int, seed: int, confidence: float
) -> tuple[float, float, float]:
    """Return (difference, low, high) of one metric, first minus second, on the same resampled rows.

    Raises:
        ValueError: the metric is undefined for one of them, or they are not the same rows.
    """
    if first.rows != second.rows:
        raise ValueError(f"{first.rows} rows cannot be paired with {second.rows}")
    values = [measured(each).get(metric, math.nan) for each in (first, second)]
    difference = values[0] - values[1]
    if not math.isfinite(difference):
        raise ValueError(f"{metric} is undefined on these rows")
    chosen, scale = _subset(first.rows, seed)
    pair = [each if chosen is None else each.take(chosen) for each in (first, second)]
    functions = [weighted_metrics(each)[metric] for each in pair]
    once = np.ones((1, pair[0].rows))
    centre = float(functions[0](once)[0] - functions[1](once)[0])
    drawn = np.concatenate([functions[0](w) - functions[1](w) for w in _weights(pair[0].rows, resamples, seed)])
    low, high = _percentiles(drawn, centre, difference, scale, confidence)
    return rounded(difference), low, high


def _subset(rows: int, seed: int) -> tuple[np.ndarray | None, float]:
    if rows <= MAX_ROWS:
        return None, 1.0
    chosen = np.random.default_rng([seed, 1]).choice(rows, size=MAX_ROWS, replace=False)
    return np.sort(chosen), math.sqrt(MAX_ROWS / rows)


def _weights(rows: int, resamples: int, seed: int) -> Iterator[Floats]:
    """Give how often each row was drawn: float64 of shape (up to a chunk of resamples, n_rows)."""
    generator = np.random.default_rng(seed)
    step = max(1, _CHUNK_VALUES // rows)
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        drawn = generator.integers(0, rows, size=(count, rows)) + np.arange(count)[:, None] * rows
        yield np.bincount(drawn.ravel(), minlength=count * rows).reshape(count, rows).astype(np.float64)


def _percentiles(
    drawn: Floats, centre: float, value: float, scale: float, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    defined = drawn[np.isfinite(drawn)]
    if len(defined) == 0:
        return rounded(value), rounded(value)
    tail = (1 - confidence) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    if scale == 1.0:
        return rounded(low), rounded(high)
    return rounded(value + (low - centre) * scale), rounded(value + (high - centre) * scale)
