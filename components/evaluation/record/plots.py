"""Draw the plots of a split as PNG files whose bytes depend on the predictions alone. Knows no file but its own.

Figures are drawn on Agg canvases without pyplot, which would hold state and look for a screen.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from components.evaluation.record.metrics import CALIBRATION_BINS, calibration_bins
from components.evaluation.record.scored import Floats, Scored
from components.types.dataset import Task
from components.types.evaluation import Evaluation, SliceResult

INK, ACCENT, FAINT = "#1f3a4d", "#c4572a", "#9aa7b0"
_DPI = 100
_MAX_CURVE_POINTS = 2000
_MAX_DOTS = 5000
_MAX_NAMED_CLASSES = 30

Draw = Callable[[Any], None]


def write_plots(folder: Path, scored: Scored, evaluation: Evaluation) -> tuple[str, ...]:
    """Write the task's plots of the test split to `folder`, and return the files' names."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = _regression(scored) if scored.task is Task.REGRESSION else _classification(scored)
    if evaluation.test.slices:
        drawn["slices"] = lambda axes: _draw_slices(axes, evaluation)
    for name, draw in drawn.items():
        _save(folder / f"{name}.png", draw)
    return tuple(f"{name}.png" for name in drawn)


def _save(path: Path, draw: Draw) -> None:
    figure = Figure(figsize=(5.6, 4.2), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    draw(axes)
    figure.savefig(path, format="png", metadata={"Software": None})  # neither version nor date in the bytes


def _classification(scored: Scored) -> dict[str, Draw]:
    return {
        "confusion": lambda axes: _draw_confusion(axes, scored),
        "roc": lambda axes: _draw_roc(axes, scored),
        "precision_recall": lambda axes: _draw_precision_recall(axes, scored),
        "calibration": lambda axes: _draw_calibration(axes, scored),
    }


def _regression(scored: Scored) -> dict[str, Draw]:
    step = max(1, -(-scored.rows // _MAX_DOTS))
    label, predicted = scored.label[::step].astype(np.float64), scored.predicted[::step].astype(np.float64)

    def against_truth(axes: Any) -> None:
        ends = [min(label.min(), predicted.min()), max(label.max(), predicted.max())]
        axes.plot(ends, ends, color=FAINT, linewidth=1)
        axes.scatter(label, predicted, s=10, color=INK, alpha=0.6, linewidths=0)
        axes.set(xlabel="true value", ylabel="prediction", title="Prediction against truth")

    def residuals(axes: Any) -> None:
        axes.axhline(0, color=FAINT, linewidth=1)
        axes.scatter(predicted, predicted - label, s=10, color=INK, alpha=0.6, linewidths=0)
        axes.set(xlabel="prediction", ylabel="prediction - truth", title="Residuals")

    return {"predicted_vs_true": against_truth, "residuals": residuals}


def _draw_confusion(axes: Any, scored: Scored) -> None:
    n_classes = len(scored.classes)
    cells = scored.label.astype(np.int64) * n_classes + scored.predicted.astype(np.int64)
    table = np.bincount(cells, minlength=n_classes * n_classes).reshape(n_classes, n_classes)
    share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    if n_classes <= _MAX_NAMED_CLASSES:
        names = [str(each)[:16] for each in scored.classes]
        axes.set_xticks(range(n_classes), names, rotation=45 if n_classes > 4 else 0)
        axes.set_yticks(range(n_classes), names)
    if n_classes <= 12:
        for (row, column), count in np.ndenumerate(table):
            colour = "white" if share[row, column] > 0.5 else INK
            axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=8)
    axes.set(xlabel="predicted", ylabel="true", title="Confusion (shade: share of the true class)")


def _one_against_rest(scored: Scored) -> list[tuple[str, np.ndarray, Floats]]:
    """Return the curves to draw: the positive class for binary, else every class against the rest."""
    chosen = [1] if scored.task is Task.BINARY else range(len(scored.classes))
    return [(str(scored.classes[k]), scored.label == k, scored.probabilities[:, k]) for k in chosen]


def _counts(positive: np.ndarray, score: Floats) -> tuple[Floats, Floats]:
    """Return true and false positives at each threshold, from the highest score down, ties together."""
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    last_of_run = np.flatnonzero(np.concatenate([ordered[1:] != ordered[:-1], [True]]))
    hits = np.cumsum(positive[order])[last_of_run].astype(np.float64)
    return hits, last_of_run + 1 - hits


def _thin(values: Floats) -> Floats:
    if len(values) <= _MAX_CURVE_POINTS:
        return values
    return values[np.linspace(0, len(values) - 1, _MAX_CURVE_POINTS).round().astype(np.int64)]


def _draw_roc(axes: Any, scored: Scored) -> None:
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1)
    for name, positive, score in _one_against_rest(scored):
        hits, misses = _counts(positive, score)
        if hits[-1] and misses[-1]:
            x, y = (np.concatenate([[0.0], each / each[-1]]) for each in (misses, hits))
            axes.plot(_thin(x), _thin(y), linewidth=1.5, label=name)
    axes.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC")
    _legend(axes, scored)


def _draw_precision_recall(axes: Any, scored: Scored) -> None:
    for name, positive, score in _one_against_rest(scored):
        hits, misses = _counts(positive, score)
        if hits[-1]:
            axes.plot(_thin(hits / hits[-1]), _thin(hits / (hits + misses)), linewidth=1.5, label=name)
    axes.set(xlabel="recall", ylabel="precision", title="Precision and recall", xlim=(-0.02, 1.02), ylim=(-0.02, 1.05))
    _legend(axes, scored)


def _legend(axes: Any, scored: Scored) -> None:
    if axes.get_legend_handles_labels()[0] and len(scored.classes) <= 12:
        axes.legend(fontsize=7, title=None if scored.task is Task.MULTICLASS else "positive class", title_fontsize=7)


def _draw_calibration(axes: Any, scored: Scored) -> None:
    if scored.task is Task.BINARY:
        probability, came_true = scored.probabilities[:, 1], scored.label == 1
        axes.set(xlabel="predicted probability", ylabel="share that was positive", title="Calibration")
    else:
        probability = scored.probabilities.max(axis=1)
        came_true = scored.label == scored.probabilities.argmax(axis=1)
        axes.set(xlabel="confidence", ylabel="share that was right", title="Calibration of the winning class")
    bins = calibration_bins(probability)
    counts = np.bincount(bins, minlength=CALIBRATION_BINS)
    filled = counts > 0
    means = [
        np.bincount(bins, weights=each, minlength=CALIBRATION_BINS)[filled] / counts[filled]
        for each in (probability, came_true.astype(np.float64))
    ]
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1)
    axes.plot(*means, color=INK, linewidth=1, alpha=0.5)
    axes.scatter(*means, s=15 + 150 * counts[filled] / counts.max(), color=ACCENT, zorder=3, linewidths=0)
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))


def _draw_slices(axes: Any, evaluation: Evaluation) -> None:
    shown: list[SliceResult] = [each for each in evaluation.test.slices if evaluation.primary in each.metrics][:25]
    names = [f"{each.column} = {each.value} ({each.rows})"[:48] for each in shown]
    values = [each.metrics[evaluation.primary] for each in shown]
    axes.barh(range(len(shown)), values, color=INK, height=0.7)
    axes.set_yticks(range(len(shown)), names, fontsize=7)
    axes.invert_yaxis()
    if overall := evaluation.test.metrics.get(evaluation.primary):
        axes.axvline(overall.value, color=ACCENT, linewidth=1.2)
    axes.set(xlabel=evaluation.primary, title="Slices (line: all rows)")
