"""How the canary judge errs and how fast it finds, over simulated rollouts: the figures of docs/judge.

    python -m bench.judge [--runs 2000] [--json] [--plot FOLDER]

Everything is drawn with fixed seeds and judged by the functions that the gateway calls; stable errs in 1 % of the
requests and the canary has 5 % of them, unless something else is said. Limits are on the figures the release's
specification states; the rest is for information.
"""

from __future__ import annotations

import argparse
import json
import timeit
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from bench import rollouts
from bench.pipeline import table
from components.judge import evalue, psi, split

SHARE = 0.05
STABLE = 0.01
KINDS = [0.004, 0.003, 0.003, 0.05, 0.05]
"""Rates of server errors, time-outs, invalid outputs, slow answers and wrong labels of a sound version; the gateway
averages over these kinds."""
AA_REQUESTS = 40_000
CANARIES = {"everything broken": (1.0, 20), "1 % -> 20 %": (0.2, 300), "1 % -> 5 %": (0.05, 1500)}
MOST_UNTIL_ABORT = {"everything broken": (3, 4), "1 % -> 20 %": (20, 53), "1 % -> 5 %": (220, 600)}
MOST_LOG_E_S = 20e-6


def main() -> int:
    """Simulate and print; the exit code says whether every limit holds."""
    parser = argparse.ArgumentParser(prog="python -m bench.judge")
    parser.add_argument("--runs", type=int, default=2000, help="how many rollouts of each sort")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--plot", type=Path, metavar="FOLDER", help="draw the figures of docs/judge into a folder, too")
    arguments = parser.parse_args()
    figures = measure(arguments.runs)
    if arguments.plot:
        from bench.judge_plots import draw

        draw(arguments.plot, arguments.runs)
    print(json.dumps({"figures": figures}, indent=2) if arguments.json else table({"figures": figures}))
    return 0 if all(row["holds"] for row in figures) else 1


def measure(runs: int) -> list[dict[str, Any]]:
    """Return the figures with their limits."""
    return [
        *_false_aborts(runs),
        *_until_abort(runs),
        *_breaker(runs),
        *_shadow(runs),
        *_split_and_drift(runs),
        _most("log_e of 100,000 events, us", 1e6 * _log_e_s(), 1e6 * MOST_LOG_E_S),
    ]


def _false_aborts(runs: int) -> list[dict[str, Any]]:
    found = {
        "A/A canaries aborted, five kinds": (KINDS, 1.0),
        "A/A canaries aborted, one kind": ([STABLE], 1.0),
        "canaries at 1.25 times stable aborted, five kinds": (KINDS, 1.25),
        "canaries at 1.25 times stable aborted, one kind": ([STABLE], 1.25),
    }
    figures = [
        _most(name, rollouts.false_aborts(_random(seed), runs, AA_REQUESTS, SHARE, rates, ratio), 0.01)
        for seed, (name, (rates, ratio)) in enumerate(found.items())
    ]
    for requests in (10_000, 40_000, 100_000):
        part = rollouts.z_test_aborts(_random(4), runs, requests, SHARE, STABLE, critical=float(stats.norm.ppf(0.99)))
        figures.append(_stated(f"A/A aborted by a 1 % z-test every 200 of {requests:,} requests", part))
    return figures


def _until_abort(runs: int) -> list[dict[str, Any]]:
    figures = []
    for name, (rate, events) in CANARIES.items():
        limits = MOST_UNTIL_ABORT[name]
        requests, _ = rollouts.until_abort(_random(5), runs, events, SHARE, STABLE, rate)
        figures += [
            _most(f"{name}: canary requests until abort, {part}", value, limit)
            for part, value, limit in zip(("median", "p95"), quantiles(requests), limits, strict=True)
        ]
        averaged, _ = rollouts.until_abort(_random(5), runs, events, SHARE, STABLE, rate, kinds=len(KINDS))
        figures += [
            _stated(f"{name}: the same beside four quiet kinds, {part}", value)
            for part, value in zip(("median", "p95"), quantiles(averaged), strict=True)
        ]
    return figures


def _breaker(runs: int) -> list[dict[str, Any]]:
    figures = []
    for share in (0.05, 0.25, 0.5):
        for rate in (0.01, 0.05, 0.3):
            part, _ = rollouts.breaker_trips(_random(6), runs, share, rate, rate)
            name = f"breaker trips, both fail in {rate:.0%}, canary at {share:.0%}"
            figures.append(_most(name, part, 0.01) if share == SHARE else _stated(name, part))
        _, at = rollouts.breaker_trips(_random(6), runs, share, STABLE, 1.0)
        late = quantiles(at)[1]
        name = f"breaker: requests of a broken canary at {share:.0%}, p95"
        figures.append(_most(name, late, 5) if share == SHARE else _stated(name, late))
    absolute = float(stats.binom.sf(2, 20, 0.05))
    figures.append(
        _stated("three of twenty by chance, if the breaker counted what is slower than stable's p95", absolute)
    )
    return figures


def _shadow(runs: int) -> list[dict[str, Any]]:
    mirrored = rollouts.until_shadow_alarm(_random(7), runs, 3000, STABLE, 2 * STABLE)
    _, requests = rollouts.until_abort(_random(8), runs // 2, 4000, SHARE, STABLE, 2 * STABLE)
    of_shadow, of_canary = quantiles(mirrored), quantiles(requests)
    return [
        _most("shadow 1 % -> 2 %: mirrored requests until alarm, median", of_shadow[0], 7000),
        _stated("shadow 1 % -> 2 %: the same, p95", of_shadow[1]),
        _stated("canary 1 % -> 2 %: requests in all until abort, median", of_canary[0]),
        _stated("canary 1 % -> 2 %: the same, mean", float(np.mean(requests))),
        _stated("canary 1 % -> 2 %: the same, p95", of_canary[1]),
    ]


def _split_and_drift(runs: int) -> list[dict[str, Any]]:
    random = _random(9)
    looks = np.cumsum(random.binomial(100, SHARE, (runs // 4, 100)), axis=1)
    users = np.broadcast_to(np.arange(100, 10_001, 100), looks.shape)
    p_values = rollouts.of_pairs(lambda k, n: split.p_value(k, n, SHARE), looks, users)
    small = [_drift(random.normal(size=300), random.normal(size=300)) for _ in range(runs // 4)]
    windows = [(random.normal(size=100_000), random.normal(0.02, size=100_000)) for _ in range(max(runs // 50, 5))]
    flagged = [float(stats.ks_2samp(*pair).pvalue) < 0.05 for pair in windows]
    return [
        _most("sound splits paused, 100 looks at p < 1e-4", float((p_values < 1e-4).any(axis=1).mean()), 0.01),
        _most("PSI of 300 beside 300 of the same at 0.2 or above", float(np.mean(np.array(small) >= 0.2)), 0.01),
        _stated("windows of 100,000, shifted by 0.02 sd, that KS flags at 5 %", float(np.mean(flagged))),
        _most("the largest PSI of the same windows", max(_drift(*pair) for pair in windows), 0.1),
    ]


def _drift(stable: rollouts.Numbers, new: rollouts.Numbers) -> float:
    inner = psi.edges(stable)
    return psi.psi(psi.counts(stable, inner), psi.counts(new, inner)) or 0.0


def _log_e_s() -> float:
    cases = [(k, 100_000) for k in (100, 5_000, 6_170, 10_000, 100_000)]
    timers = [timeit.Timer(partial(evalue.log_e, k, n, SHARE, 1.25)) for k, n in cases]
    return max(min(each.repeat(number=200, repeat=9)) for each in timers) / 200


def quantiles(values: rollouts.Numbers) -> tuple[float, float]:
    """Return the median and the 95th percentile, each a value that occurred."""
    median, late = np.quantile(values, [0.5, 0.95], method="higher")
    return float(median), float(late)


def _random(seed: int) -> np.random.Generator:
    return np.random.default_rng([2026, seed])


def _most(name: str, value: float, limit: float) -> dict[str, Any]:
    return {"figure": f"{name}, at most", "value": round(value, 4), "limit": limit, "holds": value <= limit}


def _stated(name: str, value: float) -> dict[str, Any]:
    return {"figure": name, "value": round(value, 4), "limit": "-", "holds": True}


if __name__ == "__main__":
    raise SystemExit(main())
