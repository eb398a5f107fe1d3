"""E-values and the breaker over the pooled counts of all workers. Knows no traffic and writes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from components.judge import breaker, evalue, paired
from components.serving.board.layout import KINDS
from components.types.release import JudgeSettings, TrafficSplit

Rows = np.ndarray[Any, Any]

STABLE, CANARY, SHADOW = 0, 1, 2


def e_values(rows: Rows, split: TrafficSplit, settings: JudgeSettings) -> dict[str, float]:
    """Return the running e-value of each kind of bad event; none while there is nobody to judge."""
    if split.canary is not None:
        bad = rows["arms"]["bad"].sum(axis=0)
        ours, all_of_them = bad[CANARY].tolist(), (bad[STABLE] + bad[CANARY]).tolist()
        share, ratio = split.weight / 100, settings.rate_ratio
        logs = [evalue.log_e(mine, every, share, ratio) for mine, every in zip(ours, all_of_them, strict=True)]
    elif split.shadow is not None:
        pairs = rows["pairs"]
        counts = [pairs[name].sum(axis=0).tolist() for name in ("only_shadow", "only_stable", "both")]
        logs = [paired.log_e(b, c, settings.rate_ratio, d) for b, c, d in zip(*counts, strict=True)]
    else:
        return {}
    return {kind.value: evalue.from_log(log) for kind, log in zip(KINDS, logs, strict=True)}


def alarm(rows: Rows, split: TrafficSplit, settings: JudgeSettings) -> str | None:
    """Return why the new version is to be stopped, in a sentence, or None."""
    found = e_values(rows, split, settings)
    average = evalue.average(found.values(), settings.steps)
    if average < settings.threshold:
        return None
    kind = max(found, key=lambda each: found[each])
    index = [each.value for each in KINDS].index(kind)
    words = kind.replace("_", " ")
    if split.canary is not None:
        stable, canary = rows["arms"]["bad"].sum(axis=0)[:2, index].tolist()
        counts = (
            f"{canary} of {stable + canary} users with a {words} had the canary, version {split.canary}, "
            f"which has {split.weight} % of the users"
        )
    else:
        ours = int(rows["pairs"]["only_shadow"][:, index].sum())
        theirs = int(rows["pairs"]["only_stable"][:, index].sum())
        counts = (
            f"on mirrored requests {ours} users had a {words} of the shadow, version {split.shadow}, alone, "
            f"and {theirs} of the stable version alone"
        )
    over = f" over {settings.steps} steps" if settings.steps > 1 else ""
    values = f"e-value {found[kind]:.4g} for this kind, {average:.4g} on average{over}"
    return f"{counts}: {values} (limit {settings.threshold:g})"


def breaker_sentence(rows: Rows, split: TrafficSplit, settings: JudgeSettings) -> str | None:
    """Return why the canary's first requests are bad enough to stop it, or None."""
    requests, failures = int(rows["first_requests"].sum()), int(rows["first_failures"].sum())
    stable_failures = int(rows["failures"][:, STABLE].sum())
    stable_requests = int(rows["arms"]["requests"][:, STABLE].sum())
    if not breaker.tripped(
        failures,
        min(requests, settings.breaker_requests),
        stable_failures,
        stable_requests,
        failures=settings.breaker_failures,
        requests=settings.breaker_requests,
        rate_ratio=settings.rate_ratio,
    ):
        return None
    return (
        f"{failures} of the first {requests} requests of the canary, version {split.canary}, failed, "
        f"and {stable_failures} of {stable_requests} of the stable version"
    )
