"""Simulated rollouts for the judge's figures: events drawn with numpy, judged by the shipped functions. Prints nothing.

A run is a stream of requests; a share of them, each of a user of its own, goes to the canary. Only bad events are
drawn one by one: how many good requests lie between two of them, and how many of those were the canary's, follows
from a geometric and a binomial draw. A request is bad in at most one way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.judge import breaker, evalue, paired

RATE_RATIO = 1.25
THRESHOLD = 100.0

Counts = NDArray[np.int64]
Numbers = NDArray[np.float64]


class Events(NamedTuple):
    """Bad events in the order of their coming, one row per run: each of shape (runs, events)."""

    kind: Counts
    canary: NDArray[np.bool_]
    canary_requests: Counts
    """How many requests the canary had when the event came, this one among them."""
    requests: Counts
    """How many requests there were in all."""


def draw(
    random: np.random.Generator, runs: int, events: int, share: float, stable: list[float], canary: list[float]
) -> Events:
    """Draw the bad events of runs whose two versions have these rates, one per kind of event.

    Args:
        random: Where chance comes from.
        runs: How many rollouts.
        events: How many bad events each.
        share: The canary's share of the requests.
        stable: The stable version's rate of each kind.
        canary: The canary's.
    """
    rates = np.concatenate([(1.0 - share) * np.asarray(stable), share * np.asarray(canary)])
    bad = float(rates.sum())
    place = np.searchsorted(np.cumsum(rates) / bad, random.random((runs, events)), side="right").clip(0, len(rates) - 1)
    of_canary = place >= len(stable)
    good = random.geometric(bad, (runs, events)) - 1
    canary_good = random.binomial(good, share * (1.0 - sum(canary)) / (1.0 - bad)) if bad < 1.0 else good
    return Events(
        place % len(stable),
        of_canary,
        np.cumsum(canary_good + of_canary, axis=1),
        np.cumsum(good + 1, axis=1),
    )


def e_values(found: Events, share: float, kinds: int) -> Numbers:
    """Return the judge's e-value after every event, averaged over kinds: of shape (runs, events)."""
    total = np.zeros(found.kind.shape)
    for kind in range(kinds):
        here = found.kind == kind
        counted = np.cumsum(here & found.canary, axis=1), np.cumsum(here, axis=1)
        total += of_pairs(lambda k, n: evalue.from_log(evalue.log_e(k, n, share, RATE_RATIO)), *counted)
    return total / kinds


def of_pairs(function: Callable[[int, int], float], first: Counts, second: Counts) -> Numbers:
    """Apply a function of two counts to arrays, once for every pair that occurs."""
    width = int(second.max()) + 1
    keys, places = np.unique(first * width + second, return_inverse=True)
    values = np.array([function(*divmod(int(key), width)) for key in keys])
    return values[places].reshape(first.shape)


def first_at(reached: NDArray[np.bool_], counted: Counts) -> Numbers:
    """Return what was counted when each run first reached something; infinite where it never did."""
    place = reached.argmax(axis=1)
    rows = np.arange(len(reached))
    return np.where(reached[rows, place], counted[rows, place], np.inf)


def until_abort(
    random: np.random.Generator, runs: int, events: int, share: float, stable: float, canary: float, kinds: int = 1
) -> tuple[Numbers, Numbers]:
    """Return the canary's requests and all requests until the judge aborts, per run, where one of `kinds` differs."""
    quiet = [0.0] * (kinds - 1)
    found = draw(random, runs, events, share, [stable, *quiet], [canary, *quiet])
    reached = e_values(found, share, kinds) >= THRESHOLD
    return first_at(reached, found.canary_requests), first_at(reached, found.requests)


def false_aborts(
    random: np.random.Generator, runs: int, requests: int, share: float, stable: list[float], ratio: float = 1.0
) -> float:
    """Return which part of the runs is aborted within so many requests, though the canary is `ratio` times stable."""
    events = int(1.3 * requests * sum(stable) * max(ratio, 1.0)) + 50
    aborted = 0
    for start in range(0, runs, 250):
        size = min(250, runs - start)
        found = draw(random, size, events, share, stable, [rate * ratio for rate in stable])
        reached = (e_values(found, share, len(stable)) >= THRESHOLD) & (found.requests <= requests)
        aborted += int(reached.any(axis=1).sum())
    return aborted / runs


def z_test_aborts(
    random: np.random.Generator, runs: int, requests: int, share: float, rate: float, critical: float, every: int = 200
) -> float:
    """Return which part of A/A runs a one-sided two-proportion z-test aborts when it is looked at again and again."""
    looks = requests // every
    canary_n = np.cumsum(random.binomial(every, share, (runs, looks)), axis=1)
    stable_n = np.arange(every, requests + 1, every) - canary_n
    canary_bad = np.cumsum(random.binomial(np.diff(canary_n, prepend=0), rate), axis=1)
    stable_bad = np.cumsum(random.binomial(np.diff(stable_n, prepend=0), rate), axis=1)
    pooled = (canary_bad + stable_bad) / (canary_n + stable_n)
    error = np.sqrt(pooled * (1.0 - pooled) * (1.0 / np.maximum(canary_n, 1) + 1.0 / np.maximum(stable_n, 1)))
    gap = canary_bad / np.maximum(canary_n, 1) - stable_bad / np.maximum(stable_n, 1)
    looked = (canary_n >= 20) & (error > 0)
    return float(np.mean((looked & (gap > critical * np.where(looked, error, 1.0))).any(axis=1)))


def breaker_trips(
    random: np.random.Generator, runs: int, share: float, stable: float, canary: float
) -> tuple[float, Numbers]:
    """Return which part of the runs the breaker stops, and at which of the canary's first requests."""
    shape = (runs, 20)
    stable_n = np.cumsum(random.geometric(share, shape) - 1, axis=1)
    stable_bad = np.cumsum(random.binomial(np.diff(stable_n, prepend=0), stable), axis=1)
    canary_bad = np.cumsum(random.random(shape) < canary, axis=1)
    tripped = np.zeros(shape, dtype=bool)
    for run, request in np.argwhere(canary_bad >= 3):
        counts = canary_bad[run, request], request + 1, stable_bad[run, request], stable_n[run, request]
        tripped[run, request] = breaker.tripped(*(int(count) for count in counts))
    order = np.broadcast_to(np.arange(1, 21), shape)
    return float(tripped.any(axis=1).mean()), first_at(tripped, order)


def until_shadow_alarm(
    random: np.random.Generator, runs: int, pairs: int, stable: float, shadow: float, rate_ratio: float = RATE_RATIO
) -> Numbers:
    """Return the mirrored requests until the paired e-value reaches the threshold; errors of the two are independent.

    Args:
        random: Where chance comes from.
        runs: How many rollouts.
        pairs: How many discordant pairs are drawn.
        stable: The stable version's rate of bad answers.
        shadow: The shadow's.
        rate_ratio: What the test allows.
    """
    worse, better = shadow * (1.0 - stable), stable * (1.0 - shadow)
    discordant = worse + better
    of_shadow = np.cumsum(random.random((runs, pairs)) < worse / discordant, axis=1, dtype=np.int64)
    of_stable = np.arange(1, pairs + 1) - of_shadow
    mirrored = np.cumsum(random.geometric(discordant, (runs, pairs)), axis=1)
    logs = of_pairs(lambda b, c: paired.log_e(b, c, rate_ratio), of_shadow, of_stable)
    return first_at(logs >= np.log(THRESHOLD), mirrored)
