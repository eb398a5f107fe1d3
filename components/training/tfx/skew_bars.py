"""Two histograms of one column with the same bars, for people to look at. Knows no distance."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pyarrow as pa

from components.types.tfx import SharedBar

_BINS = 20
_TOP_VALUES = 8


def shared_bars(training: pa.ChunkedArray, serving: pa.ChunkedArray) -> tuple[SharedBar, ...]:
    """Return ranges of numbers, or the most frequent values, with their shares among the values of each side."""
    if pa.types.is_string(training.type) or pa.types.is_boolean(training.type):
        return _of_values(training.drop_null().to_pylist(), serving.drop_null().to_pylist())
    return _of_numbers(_numbers(training), _numbers(serving))


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    values = np.asarray(column.drop_null().to_numpy(), np.float64)
    return values[np.isfinite(values)]


def _of_numbers(training: np.ndarray, serving: np.ndarray) -> tuple[SharedBar, ...]:
    together = np.concatenate([training, serving])
    if not len(together):
        return ()
    edges = np.histogram_bin_edges(together, bins=_BINS)
    base, _ = np.histogram(training, edges)
    served, _ = np.histogram(serving, edges)
    return tuple(
        SharedBar(f"{low:.4g} to {high:.4g}", _share(one, len(training)), _share(other, len(serving)))
        for (low, high), one, other in zip(pairwise(edges.tolist()), base.tolist(), served.tolist(), strict=True)
    )


def _of_values(training: list[str | bool], serving: list[str | bool]) -> tuple[SharedBar, ...]:
    base, served = Counter(map(_label, training)), Counter(map(_label, serving))
    shares = {
        value: (_share(base[value], len(training)), _share(served[value], len(serving))) for value in base | served
    }
    ranked = sorted(shares, key=lambda value: (-max(shares[value]), value))
    bars = [SharedBar(value, *shares[value]) for value in ranked[:_TOP_VALUES]]
    if rest := ranked[_TOP_VALUES:]:
        others = [sum(side) for side in zip(*(shares[value] for value in rest), strict=True)]
        bars.append(SharedBar(f"{len(rest)} others", others[0], others[1]))
    return tuple(bars)


def _label(value: str | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else value


def _share(count: int, total: int) -> float:
    return count / total if total else 0.0
