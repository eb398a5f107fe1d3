"""A release in a running gateway: what it costs its users, and how fast it is stopped and undone.

    python -m bench.live [--rounds 5] [--seconds 3] [--json]

One worker, and requests as in `bench.gateway`. Its rate beside the plain app's while a canary has 5 %, predictions are
logged and metrics scraped; what a shadow adds to stable's p99 at a fixed rate (open loop); swaps of versions under
eight clients, every answer compared with what the version it names must say; a canary that answers nonsense until its
weight is 0; a rollback until the first answer of the version before.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from bench.gateway import CASES, INFER, INVOKE, Case, body, first_answer, server
from bench.live_figures import Figures, least, most, ms, stated
from bench.live_gateway import CLIENTS, MODEL, Gateway, asked, clients, gateway, nonsense, numbered, question_of
from bench.live_shadow import shadow
from bench.load import requests_per_s
from bench.pipeline import table
from bench.products import network_product
from components.types.product import GRAPH_FILE, ProductRef

STEADY, CANARY = "routing, judge, log and metrics on", "and a canary at 5 %"
LEAST_OF_PLAIN, MOST_SWAP_RATIO, MOST_CANARY_REQUESTS, MOST_ROLLBACK_S = 0.7, 2.0, 5, 5.0
SWAPS, TRIALS, ROLLBACKS = 100, 40, 10


def main() -> int:
    """Measure and print; the exit code says whether every limit holds."""
    parser = argparse.ArgumentParser(prog="python -m bench.live")
    parser.add_argument("--rounds", type=int, default=5, help="how often rates and latencies are measured")
    parser.add_argument("--seconds", type=float, default=3, help="how long each time")
    parser.add_argument("--only", choices=sorted(PARTS), help="measure one part only")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    figures: Figures = []
    for name in [arguments.only] if arguments.only else PARTS:
        with tempfile.TemporaryDirectory(prefix="towpath-bench-") as folder:
            figures += PARTS[name](Path(folder), arguments.rounds, arguments.seconds)
    print(json.dumps({"figures": figures}, indent=2) if arguments.json else table({"figures": figures}))
    return 0 if all(row["holds"] for row in figures) else 1


def cost(folder: Path, rounds: int, seconds: float) -> Figures:
    """Measure the rate beside the plain app's, in turns: with routing, log and metrics on, and with a canary, too."""
    products = {version: network_product(folder / str(version), seed=version) for version in (1, 2)}
    plain = [sys.executable, "-m", "bench.plain_app", str(products[1].directory / GRAPH_FILE), "{port}"]
    cases = [case for case in CASES if case.path == INFER or case.rows > 1 or case.clients == CLIENTS]
    rates: dict[tuple[str, str], list[float]] = {}
    with ExitStack() as stack:
        (folder / "steady").mkdir()
        steady = stack.enter_context(gateway(folder / "steady", products, body(Case(INVOKE, 1, 1)), stable=1))
        ours = stack.enter_context(gateway(folder, products, body(Case(INVOKE, 1, 1)), stable=1, canary=2, weight=5))
        port, _ = stack.enter_context(server(plain))
        first_answer(port)
        for each in (steady, ours):
            stack.enter_context(_scraped(each.port))
        for _ in range(rounds):
            for case in cases:
                plain_rate = requests_per_s(port, case.path, body(case), case.clients, seconds)
                for kind, each in ((STEADY, steady), (CANARY, ours)):
                    rate = requests_per_s(each.port, case.path, body(case), case.clients, seconds)
                    rates.setdefault((kind, case.name), []).append(rate / plain_rate)
        weight = ours.status()["reports"][MODEL]["weight"]
    return [
        *(
            least(f"{name} / plain app, {kind}", statistics.median(found), LEAST_OF_PLAIN)
            for (kind, name), found in rates.items()
            if kind == STEADY
        ),
        *(
            stated(f"{name} / plain app, {kind}", round(statistics.median(found), 3))
            for (kind, name), found in rates.items()
            if kind == CANARY
        ),
        least("weight of the sound canary after all of them", weight, 5),
    ]


def swaps(folder: Path, rounds: int, seconds: float) -> Figures:
    """Swap stable for a newly loaded version a hundred times under eight clients that check every answer."""
    del rounds
    products = numbered(folder, range(1, SWAPS + 2))
    with gateway(folder, {1: products[1]}, question_of(0), stable=1) as ours:
        steady = clients(ours.port, lambda: time.sleep(3 * seconds))

        def swap() -> None:
            for number in range(2, SWAPS + 2):
                ours.route({each: products[each] for each in (number, number - 1)}, stable=number, previous=number - 1)
                ours.wait()

        during = clients(ours.port, swap)
    p99_ms = [ms(np.array([each.took_s for each in seen]), 0.99) for seen in (steady, during)]
    return [
        most(f"failed of {len(during):,} requests over {SWAPS} swaps", sum(each.is_failed for each in during), 0),
        most("torn answers among them", sum(each.is_torn for each in during), 0),
        most("p99 while swapping / steady", p99_ms[1] / p99_ms[0], MOST_SWAP_RATIO),
        stated("p99 steady / while swapping, ms", [round(each, 3) for each in p99_ms]),
    ]


def broken(folder: Path, rounds: int, seconds: float) -> Figures:
    """Count the requests of a canary that answers nonsense until its weight is 0, and users who noticed."""
    del rounds, seconds
    products = numbered(folder, range(1, 2)) | {2: nonsense(folder / "2")}
    reached: list[int] = []
    failed = 0
    with gateway(folder, {1: products[1]}, question_of(1), stable=1) as ours:
        connection = http.client.HTTPConnection("127.0.0.1", ours.port, timeout=30)
        for _ in range(TRIALS):
            ours.route(products, stable=1, canary=2, weight=5)
            ours.wait()
            for request in range(600):
                failed += asked(connection, request % 100 + 1).status != 200
                if request % 20 == 19 and ours.status()["reports"][MODEL]["weight"] == 0:
                    break
            failed += sum(asked(connection, request + 1).status != 200 for request in range(100))
            report = ours.status()["reports"][MODEL]
            reached.append(report["canary"]["requests"] if report["weight"] == 0 else 1_000)
        connection.close()
    return [
        most(
            f"requests of a broken canary until weight 0, p95 of {TRIALS}",
            _quantile(reached, 0.95),
            MOST_CANARY_REQUESTS,
        ),
        stated("the same, median and most", [_quantile(reached, 0.5), max(reached)]),
        most("requests that failed meanwhile", failed, 0),
    ]


def rollback(folder: Path, rounds: int, seconds: float) -> Figures:
    """Time going back to the version before under load: from the snapshot's write to the last answer of the new one."""
    del rounds, seconds
    products = numbered(folder, range(1, 3))
    took_s: list[float] = []
    wrong = 0
    with gateway(folder, products, question_of(0), stable=1) as ours:
        for _ in range(ROLLBACKS):
            ours.route(products, stable=2, previous=1)
            ours.wait()
            written_s: list[float] = []
            seen = clients(ours.port, partial(_go_back, ours, products, written_s))
            wrong += sum(each.is_failed or each.is_torn for each in seen)
            took_s.append(max(each.at_s for each in seen if each.version == 2) - written_s[0])
    name = f"rollback: snapshot until the last answer of the bad version, s, most of {ROLLBACKS}"
    return [
        most(name, max(took_s), MOST_ROLLBACK_S),
        stated("rollback: the same, median, s", round(statistics.median(took_s), 3)),
        most("rollback: failed and torn meanwhile", wrong, 0),
    ]


def _go_back(ours: Gateway, products: dict[int, ProductRef], written_s: list[float]) -> None:
    time.sleep(0.2)
    written_s.append(ours.route(products, stable=1, previous=2))
    ours.wait()
    time.sleep(0.1)


@contextmanager
def _scraped(port: int) -> Iterator[None]:
    """Scrape the metrics once a second, as a Prometheus would more rarely."""
    code = (
        "import time,urllib.request\nwhile True:\n"
        f"    urllib.request.urlopen('http://127.0.0.1:{port}/metrics').read(); time.sleep(1)"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        yield
    finally:
        assert process.poll() is None, "the metrics could not be scraped"
        process.kill()
        process.wait()


def _quantile(values: list[int], q: float) -> float:
    return float(np.quantile(values, q, method="higher"))


PARTS = {"cost": cost, "shadow": shadow, "swaps": swaps, "broken": broken, "rollback": rollback}


if __name__ == "__main__":
    raise SystemExit(main())
