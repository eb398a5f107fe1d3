"""What a shadow adds to the stable version's latencies at a fixed rate: pairs of runs, without and with it, in turns.

The figure is what clients see, at the 99th percentile, the median of the pairs. The client shares the machine with the
gateway, and on two cores it may be the one that comes late; so beside it stand how late it came to its own requests,
and the gateway's own time from a request's first byte to its answer, as the prediction log has it; and how long the
machine holds up programs that only look at the clock.
"""

from __future__ import annotations

import http.client
import statistics
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.dataset as ds

from bench.gateway import INVOKE, Case, body
from bench.live_figures import Figures, least, most, ms, stated
from bench.live_gateway import MODEL, Gateway, gateway
from bench.open_loop import Sent, send
from bench.products import network_product
from bench.stalls import HELD_UP_S, Stalls, stalls

MOST_ADDED_MS = 1.0
RATE = 1_000
PAIRS_PER_ROUND = 3
_NAMES = ("without", "with")


class _Run(NamedTuple):
    sent: Sent
    from_s: float
    until_s: float


def shadow(folder: Path, rounds: int, seconds: float) -> Figures:
    """Measure what a shadow adds to stable's latencies at a fixed rate, in turns."""
    products = {version: network_product(folder / str(version), seed=version) for version in (1, 2)}
    question = body(Case(INVOKE, 1, 1))
    found: dict[str, list[_Run]] = {name: [] for name in _NAMES}
    shares: list[float] = []
    with gateway(folder, products, question, stable=1) as ours:
        for number in range(2 * PAIRS_PER_ROUND * rounds + 2):
            name = _NAMES[number % 2]
            ours.route(products, stable=1, **({"shadow": 2} if name == "with" else {}))
            ours.wait()
            if name == "with":
                _wait_for_shadow(ours, question)
            from_s = time.time()
            run = _Run(send(ours.port, INVOKE, question, RATE, seconds), from_s, time.time())
            if number > 1:  # the first pair warms everything up
                found[name].append(run)
            if name == "with":
                report = ours.status()["reports"][MODEL]["shadow"]
                shares.append(report["mirrored"] / (report["mirrored"] + report["dropped"]))
    return _figures(found, shares, stalls(seconds), folder / "predictions")


def _wait_for_shadow(ours: Gateway, question: bytes) -> None:
    """Ask until the shadow answers: its process takes a moment to start, once in a rollout."""
    connection = http.client.HTTPConnection("127.0.0.1", ours.port, timeout=30)
    end = time.monotonic() + 30
    while time.monotonic() < end:
        connection.request("POST", INVOKE, question, {"Content-Type": "application/json"})
        connection.getresponse().read()
        if ours.status()["reports"][MODEL]["shadow"]["mirrored"]:
            connection.close()
            return
        time.sleep(0.05)
    raise RuntimeError("the shadow answered nothing within 30 s")


def _figures(found: dict[str, list[_Run]], shares: list[float], machine: Stalls, log: Path) -> Figures:
    p99 = {name: [ms(run.sent.took_s, 0.99) for run in runs] for name, runs in found.items()}
    added = [shadowed - alone for shadowed, alone in zip(p99["with"], p99["without"], strict=True)]
    quarters = [round(float(np.quantile(added, q)), 3) for q in (0.25, 0.75)]
    own_ms = _gateways_own_ms(log, found)
    return [
        most(f"a shadow adds to stable's p99 at {RATE:,} requests/s, ms", statistics.median(added), MOST_ADDED_MS),
        stated(f"shadow: the same, the middle half of {len(added)} pairs, ms", quarters),
        stated("shadow: p99 without / with, ms", _medians(p99.values())),
        stated(
            "shadow: p50 without / with, ms",
            _medians([ms(r.sent.took_s, 0.5) for r in runs] for runs in found.values()),
        ),
        stated(
            "shadow: p99 by which the client itself was late, without / with, ms",
            _medians([ms(r.sent.late_s, 0.99) for r in runs] for runs in found.values()),
        ),
        stated("shadow: p99 of the gateway's own time, without / with, ms", _medians(own_ms)),
        least("shadow: least part of a run's requests that was mirrored", min(shares), 0.99),
        stated(
            f"busy loops alone, one a core: share of their time in gaps above {HELD_UP_S * 1000:.0f} ms, longest, ms",
            [round(machine.share, 4), round(machine.longest_s * 1000, 1)],
        ),
    ]


def _gateways_own_ms(log: Path, found: dict[str, list[_Run]]) -> list[list[float]]:
    """Return the p99 of each run in the log, which was closed by now; with a shadow it has about half of the rows."""
    rows = ds.dataset(log, format="parquet").to_table(columns=["time", "role", "latency_ms"])
    times_s = rows["time"].cast("int64").to_numpy() / 1e6
    took_ms, is_stable = rows["latency_ms"].to_numpy(), np.array(rows["role"].to_pylist()) == "stable"

    def p99(run: _Run) -> float:
        return float(np.quantile(took_ms[is_stable & (run.from_s <= times_s) & (times_s < run.until_s)], 0.99))

    return [[p99(run) for run in runs] for runs in found.values()]


def _medians(kinds: Iterable[list[float]]) -> list[float]:
    return [round(statistics.median(each), 3) for each in kinds]
