"""The pictures of docs/judge: e-values of simulated rollouts, and when each canary is found. Byte-stable SVG.

Colour-blind safe: two hues, dark and light, and every line has its name beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench import rollouts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STYLE: dict[Any, Any] = {
    "svg.hashsalt": "towpath",
    "svg.fonttype": "path",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
SAME, WORSE = "#2b6cb0", "#c05621"


def draw(folder: Path, runs: int) -> None:
    """Draw both pictures into a folder."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        for name, fill, width in (("e-values", _e_values, 7.0), ("until-abort", _until_abort, 7.0)):
            figure, axes = pyplot.subplots(figsize=(width, 3.4), layout="constrained")
            fill(axes, runs)
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None, "Creator": None})
            pyplot.close(figure)


def _e_values(axes: Axes, runs: int) -> None:
    """Draw how the e-values of 10 equally good and 10 worse canaries go."""
    del runs
    for rate, colour, name in ((0.01, SAME, "as good as stable"), (0.05, WORSE, "1 % → 5 %")):
        found = rollouts.draw(np.random.default_rng([2026, 11]), 10, 900, 0.05, [0.01], [rate])
        values = rollouts.e_values(found, 0.05, 1)
        for row in range(10):
            shown = np.flatnonzero(found.canary_requests[row] <= 1500)[::2]
            axes.plot(
                found.canary_requests[row][shown],
                values[row][shown],
                color=colour,
                linewidth=0.7,
                alpha=0.6,
                label=name if row == 0 else None,
            )
    axes.axhline(100, color="black", linewidth=1)
    axes.text(1500, 125, "abort at 100", ha="right")
    axes.set(yscale="log", ylim=(1e-3, 1e6), xlim=(0, 1500), xlabel="canary requests", ylabel="e-value")
    axes.set_title("The e-value of 10 canaries each, at 5 % of the traffic", loc="left", fontsize=10)
    axes.legend(frameon=False, loc="upper right")


def _until_abort(axes: Axes, runs: int) -> None:
    """Draw which part of the canaries is aborted after so many of their requests."""
    cases = (
        ("everything broken", 1.0, 20),
        ("1 % → 20 %", 0.2, 300),
        ("1 % → 5 %", 0.05, 1500),
        ("1 % → 2 %", 0.02, 3000),
    )
    for shade, (name, rate, events) in zip(np.linspace(0.35, 1.0, 4)[::-1], cases, strict=True):
        requests, _ = rollouts.until_abort(np.random.default_rng([2026, 12]), min(runs, 1000), events, 0.05, 0.01, rate)
        parts = np.linspace(0.0, 1.0, 201)
        reached = np.quantile(requests, parts, method="higher")
        axes.step(reached, parts, where="post", color=WORSE, alpha=shade)
        axes.text(reached[100] * 1.06, 0.46, name, rotation=90, va="top", ha="left", fontsize=8)
    axes.set(xscale="log", xlim=(1, 2e4), ylim=(0, 1), xlabel="canary requests", ylabel="part of the canaries aborted")
    axes.set_title("How soon a worse canary is aborted, at 5 % of the traffic", loc="left", fontsize=10)
