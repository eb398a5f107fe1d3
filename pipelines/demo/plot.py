"""Draw a story: traffic weights and the judge's evidence over time.

As a program, so that nothing else pays for matplotlib: ``python -m pipelines.demo.plot STORY PICTURE``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

_BLUE, _RED, _GREY = "#3060a0", "#b03030", "#707070"


def draw(story: dict[str, Any], picture: Path) -> None:
    """Draw the samples and marks of a story.

    Args:
        story: ``samples`` as `samples.Sample` writes them, ``marks`` as pairs of seconds and words, ``threshold``.
        picture: Where to; SVG or PNG by its ending.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "towpath"
    from matplotlib import pyplot as plt

    samples = story["samples"]
    times = [each["at_s"] for each in samples]
    figure, (upper, lower) = plt.subplots(2, 1, sharex=True, figsize=(11, 6), layout="constrained")
    upper.step(times, [each["weight"] for each in samples], where="post", color=_BLUE)
    upper.fill_between(
        times, 0, [100 if each["role"] == "shadow" else 0 for each in samples], step="post", color=_GREY, alpha=0.12
    )
    upper.set_ylabel("canary's users, %\n(grey: shadow)")
    upper.set_ylim(0, 100)
    lower.plot(times, [max(each["e_value"], 1e-4) for each in samples], color=_RED)
    lower.axhline(story["threshold"], color=_RED, linestyle="--", linewidth=0.8)
    lower.set_yscale("log")
    lower.set_ylabel(f"e-value\n(abort at {story['threshold']:g})")
    lower.set_xlabel("seconds")
    for at_s, words in story["marks"]:
        for axes in (upper, lower):
            axes.axvline(at_s, color=_GREY, linewidth=0.6)
        upper.annotate(words, (at_s, 98), rotation=90, va="top", ha="right", fontsize=7, color=_GREY)
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, metadata={"Date": None} if picture.suffix == ".svg" else None)


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
