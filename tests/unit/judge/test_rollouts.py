"""The judge over simulated rollouts: a reduced form of what `python -m bench judge` measures, with fixed seeds."""

from __future__ import annotations

import numpy as np
import pytest

from bench import rollouts


def quantiles(values: np.ndarray) -> tuple[float, float]:
    median, late = np.quantile(values, [0.5, 0.95], method="higher")
    return float(median), float(late)


@pytest.mark.parametrize(
    ("canary", "events", "median", "late"),
    [(1.0, 20, (3, 3), (3, 4)), (0.2, 200, (14, 21), (35, 56)), (0.05, 1000, (150, 215), (400, 620))],
)
def test_a_worse_canary_is_aborted_after_as_many_requests_as_the_page_says(
    canary: float, events: int, median: tuple[int, int], late: tuple[int, int]
) -> None:
    requests, _ = rollouts.until_abort(np.random.default_rng(0), 400, events, 0.05, 0.01, canary)
    found = quantiles(requests)
    assert median[0] <= found[0] <= median[1]
    assert late[0] <= found[1] <= late[1]


@pytest.mark.parametrize("ratio", [1.0, 1.25])
def test_healthy_canaries_are_hardly_ever_aborted(ratio: float) -> None:
    assert rollouts.false_aborts(np.random.default_rng(1), 500, 20_000, 0.05, [0.005, 0.02], ratio) <= 0.01


def test_a_z_test_that_is_looked_at_again_and_again_aborts_many_of_them() -> None:
    assert rollouts.z_test_aborts(np.random.default_rng(2), 500, 20_000, 0.05, 0.01, critical=2.326) > 0.08


def test_the_events_drawn_have_the_rates_they_were_asked_for() -> None:
    found = rollouts.draw(np.random.default_rng(3), 50, 2000, 0.05, [0.01, 0.02], [0.05, 0.02])
    canary = found.canary & (found.kind == 0)
    assert canary.sum() / found.canary_requests[:, -1].sum() == pytest.approx(0.05, rel=0.05)
    stable = ~found.canary & (found.kind == 1)
    stable_requests = (found.requests - found.canary_requests)[:, -1].sum()
    assert stable.sum() / stable_requests == pytest.approx(0.02, rel=0.05)
    assert found.canary_requests[:, -1].sum() / found.requests[:, -1].sum() == pytest.approx(0.05, rel=0.05)
