"""How far one distribution of predictions is from another: the population stability index. Knows no model, no window.

    PSI = sum over bins of (q_i - p_i) * ln(q_i / p_i)

with p the share of stable's predictions in bin i and q the new version's (the symmetrised Kullback-Leibler divergence;
N. Siddiqi, Credit Risk Scorecards, 2006: below 0.1 none, from 0.2 a shift). Numbers are counted in 10 quantile bins of
stable's predictions, labels in one bin per class. Each bin of both sides is given half an observation (Krichevsky and
Trofimov 1981), so that an empty one gives a finite figure. Two samples of the same distribution have a PSI of about
(bins - 1) * (1/n + 1/m): 0.06 for n = m = 300, which is why fewer say nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

_PSEUDO_COUNT = 0.5


def edges(sample: ArrayLike, bins: int = 10) -> NDArray[np.float64]:
    """Return the inner edges of quantile bins, ascending: at most bins - 1, fewer where values repeat.

    Args:
        sample: Stable's predictions, at least one; what is not finite is left out.
        bins: How many bins.
    """
    values = np.asarray(sample, dtype=np.float64).ravel()
    values = values[np.isfinite(values)]
    if values.size == 0:
        return np.empty(0)
    return np.unique(np.quantile(values, np.arange(1, bins) / bins))


def counts(values: ArrayLike, inner_edges: NDArray[np.float64]) -> NDArray[np.int64]:
    """Count values into the bins between inner edges: int64 of shape (len(inner_edges) + 2,).

    A value on an edge belongs to the bin below it. The last bin counts what is not finite.
    """
    numbers = np.asarray(values, dtype=np.float64).ravel()
    finite = np.isfinite(numbers)
    places = np.where(finite, np.searchsorted(inner_edges, numbers, side="left"), len(inner_edges) + 1)
    return np.bincount(places, minlength=len(inner_edges) + 2)


def psi(expected_counts: ArrayLike, actual_counts: ArrayLike, *, min_rows: int = 300) -> float | None:
    """Return the index between two sets of counts over the same bins, or None: insufficient.

    Bins that are empty on both sides are left out. With fewer than min_rows on either side nothing is said.

    Raises:
        ValueError: If the two have not the same number of bins.
    """
    expected = np.asarray(expected_counts, dtype=np.float64)
    actual = np.asarray(actual_counts, dtype=np.float64)
    if expected.shape != actual.shape:
        raise ValueError(f"bins must be the same on both sides; they are {expected.shape} and {actual.shape}")
    if min(expected.sum(), actual.sum()) < max(min_rows, 1):
        return None
    used = (expected > 0) | (actual > 0)
    p, q = _shares(expected[used]), _shares(actual[used])
    return float(np.sum((q - p) * np.log(q / p)))


def _shares(bins: NDArray[np.float64]) -> NDArray[np.float64]:
    smoothed = bins + _PSEUDO_COUNT
    shares: NDArray[np.float64] = smoothed / smoothed.sum()
    return shares
