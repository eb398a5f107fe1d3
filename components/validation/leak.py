"""How well each single column tells the label, and whether one gives it away. Knows nothing of models.

A score is between 0 and 1 and always out of fold: what is learnt about a column's values on one half of the rows is
judged on the other, so that a column of names cannot win by memory. For classes it is the mean area under the ROC curve
(one class against the rest), for numbers the share of the label's variance explained.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from components.validation.suite import SuiteMeta
from components.validation.table import Table
from components.validation.verdict import CheckOutcome

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

MAX_CLASSES = 20
"""A whole-number label with more values than this is a number; of more classes than this the largest are judged."""
MAX_BINS = 256
MIN_ROWS = 20
"""With fewer rows a column separates classes by chance."""
COLUMNS_AT_ONCE = 8


@dataclass(frozen=True)
class LeakScore:
    """How well one column tells the label."""

    column: str
    score: float


def check_leak(table: Table, meta: SuiteMeta) -> CheckOutcome:
    """Refuse a table in which a single column tells the label better than the suite's bound."""
    if table.rows < MIN_ROWS:
        return CheckOutcome("no_leak", success=True, columns=(), reason=f"not judged: fewer than {MIN_ROWS} rows")
    scores = [score for score in leak_scores(table) if score.column not in meta.leak_allowed]
    if not scores:
        return CheckOutcome("no_leak", success=True, columns=(), reason="no column but those allowed to tell the label")
    guilty = tuple(score for score in scores if score.score >= meta.leak_bound)
    words = ", ".join(f"`{score.column}` alone tells it with a score of {score.score:.4f}" for score in guilty)
    label = f"label `{table.manifest.label_column}`"
    if not guilty:
        best = scores[0]
        reason = (
            f"no column tells {label} with {meta.leak_bound:g} or more; the best is `{best.column}`, {best.score:.4f}"
        )
        return CheckOutcome("no_leak", success=True, columns=(), reason=reason)
    reason = f"{label}: {words} (bound {meta.leak_bound:g}); drop it, or list it in `meta.towpath.leak_allowed`"
    return CheckOutcome("no_leak", success=False, columns=tuple(score.column for score in guilty), reason=reason)


def leak_scores(table: Table) -> list[LeakScore]:
    """Return the score of every column that a model may learn from, best first."""
    import numpy as np

    label = table.sample([table.manifest.label_column]).to_series()
    half = np.random.default_rng(0).permutation(len(label)) % 2
    names = table.features
    scores: list[LeakScore] = []
    for start in range(0, len(names), COLUMNS_AT_ONCE):
        frame = table.sample(list(names[start : start + COLUMNS_AT_ONCE]))
        scores += [LeakScore(column.name, round(_score(column, label, half), 6)) for column in frame]
    return sorted(scores, key=lambda score: (-score.score, score.column))


def _score(column: pl.Series, label: pl.Series, half: NDArray[np.intp]) -> float:
    values, bins = _numbers(column), _bins(column)
    classes = _classes(label)
    if classes is None:
        target = label.cast(float).to_numpy()
        return max(_explained(bins, target, half), _correlation(values, target) if values is not None else 0.0)
    if (count := int(classes.max()) + 1) > 2:
        return sum(_binned_auc(bins, classes == each, half) for each in range(count)) / count
    binned = _binned_auc(bins, classes == 1, half)
    return max(binned, _rank_auc(values, classes == 1)) if values is not None else binned


def _classes(label: pl.Series) -> NDArray[Any] | None:
    """Return the label's class numbers, largest class first (-1 beyond `MAX_CLASSES`), or None when it is a number."""
    import numpy as np

    numeric = label.dtype.is_numeric()
    whole = not label.dtype.is_float() or bool((label == label.floor()).all())
    if numeric and not (whole and label.n_unique() <= MAX_CLASSES):
        return None
    codes = (label.rank("dense") - 1).to_numpy()
    counts = np.bincount(codes)
    place = np.empty(len(counts), dtype=np.int64)
    place[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
    place[place >= MAX_CLASSES] = -1
    return place[codes]


def _numbers(column: pl.Series) -> NDArray[Any] | None:
    """Return a column as numbers, missing ones at the median; None for strings."""
    import polars as pl

    if column.dtype == pl.String:
        return None
    numbers = column.cast(pl.Int64).cast(pl.Float64) if column.dtype == pl.Datetime else column.cast(pl.Float64)
    numbers = numbers.fill_nan(None)
    return numbers.fill_null(numbers.median() or 0.0).to_numpy()


def _bins(column: pl.Series) -> NDArray[Any]:
    """Return a bin for every value: its own for one that repeats, ranges for many numbers, one for missing."""
    import numpy as np
    import polars as pl

    if column.dtype.is_float():
        column = column.fill_nan(None)
    if column.dtype == pl.String or column.n_unique() <= MAX_BINS:
        codes = column.rank("dense").fill_null(0).to_numpy().astype(np.int64)
        return np.where(np.bincount(codes)[codes] == 1, codes.max() + 1, codes)
    present = len(column) - column.null_count()
    places = (column.rank("average") - 1) * (MAX_BINS / present)
    return (places.floor() + 1).fill_null(0).to_numpy().astype(np.int64)


def _binned_auc(bins: NDArray[Any], positive: NDArray[Any], half: NDArray[Any]) -> float:
    """Return the mean over both halves of the area under the ROC curve of bins ordered by the other half."""
    import numpy as np

    size = int(bins.max()) + 1
    counts = [np.bincount(bins[half == side], minlength=size).astype(float) for side in (0, 1)]
    hits = [np.bincount(bins[(half == side) & positive], minlength=size).astype(float) for side in (0, 1)]
    areas = [_area(_smoothed(hits[1 - side], counts[1 - side]), hits[side], counts[side]) for side in (0, 1)]
    return sum(areas) / 2


def _smoothed(sums: NDArray[Any], counts: NDArray[Any]) -> NDArray[Any]:
    """Return the mean of each bin, drawn to the mean of all by one row's weight."""
    return (sums + sums.sum() / max(counts.sum(), 1.0)) / (counts + 1.0)


def _area(score: NDArray[Any], hits: NDArray[Any], counts: NDArray[Any]) -> float:
    """Return the area under the ROC curve of bins with a score each; 0.5 where a class is absent."""
    import numpy as np

    _, group = np.unique(score, return_inverse=True)
    positives = np.bincount(group, weights=hits)
    negatives = np.bincount(group, weights=counts - hits)
    if not positives.sum() or not negatives.sum():
        return 0.5
    below = np.cumsum(negatives) - negatives / 2
    return float((positives * below).sum() / (positives.sum() * negatives.sum()))


def _rank_auc(values: NDArray[Any], positive: NDArray[Any]) -> float:
    """Return the area under the ROC curve of the values themselves, in the better direction."""
    import numpy as np

    unique, bins = np.unique(values, return_inverse=True)
    counts = np.bincount(bins, minlength=len(unique)).astype(float)
    area = _area(np.arange(len(unique)), np.bincount(bins[positive], minlength=len(unique)).astype(float), counts)
    return max(area, 1.0 - area)


def _explained(bins: NDArray[Any], target: NDArray[Any], half: NDArray[Any]) -> float:
    """Return the share of the target's variance that the bins' means on the other half explain."""
    import numpy as np

    size = int(bins.max()) + 1
    error = 0.0
    for side in (0, 1):
        learnt, judged = half != side, half == side
        counts = np.bincount(bins[learnt], minlength=size).astype(float)
        means = _smoothed(np.bincount(bins[learnt], weights=target[learnt], minlength=size), counts)
        error += float(np.square(target[judged] - means[bins[judged]]).sum())
    total = float(np.square(target - target.mean()).sum())
    return max(0.0, 1.0 - error / total) if total else 0.0


def _correlation(values: NDArray[Any], target: NDArray[Any]) -> float:
    """Return the larger of the squared correlations of the numbers and of their ranks."""
    import numpy as np

    def ranks(numbers: NDArray[Any]) -> NDArray[Any]:
        _, place, counts = np.unique(numbers, return_inverse=True, return_counts=True)
        return (np.cumsum(counts) - counts / 2)[place]

    def squared(left: NDArray[Any], right: NDArray[Any]) -> float:
        left, right = left - left.mean(), right - right.mean()
        scale = float((left @ left) * (right @ right))
        return float(left @ right) ** 2 / scale if scale else 0.0

    return max(squared(values, target), squared(ranks(values), ranks(target)))
