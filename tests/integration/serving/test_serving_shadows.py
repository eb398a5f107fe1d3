"""A shadow in a running gateway: no client may notice it, and its process ends with what it was started for."""

from __future__ import annotations

import contextlib
import signal
import time

import psutil
import pytest

from tests.broken_products import BREAKS

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", [each for each in BREAKS if each != "gives nonsense"])
def test_answers_with_a_broken_shadow_are_byte_for_byte_those_without(routed, tmp_path, kind):
    client = routed.client()

    def answers():
        found = []
        for number in range(120):
            status, headers, content, _ = client.ask(2.0, f"user-{number}", x_request_id=f"r{number}")
            found.append((status, headers, content))
        return found

    alone = answers()
    routed.move(2, stable=1, shadow=2, products={2: BREAKS[kind](tmp_path / "broken", 2000.0)})
    started = time.monotonic()
    assert answers() == alone
    assert time.monotonic() - started < 60
    expected = {"hangs": "timeout", "is slow": "slow"}.get(kind, "server_error")
    routed.wait_for(lambda: routed.report("sum")["shadow"]["bad"].get(expected, 0) > 0)
    found = routed.report("sum")
    assert found["stable"]["requests"] == 120
    assert found["stable"]["bad"].get("server_error", 0) == 0
    assert routed.process.poll() is None


def shadow_process(running):
    """The process in which the shadow computes; None while there is none."""
    for each in psutil.Process(running.process.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):  # it went while we looked
            if "components.serving.mirroring.child" in each.cmdline():
                return each
    return None


def test_no_client_notices_that_the_shadows_process_dies_and_a_crash_stops_the_shadow(routed, under_load):
    routed.move(2, stable=1, shadow=2)
    under_load(routed.port, clients=2)
    for _ in range(2):
        routed.wait_for(lambda: shadow_process(routed) is not None)
        before, mirrored = shadow_process(routed), routed.report("sum")["shadow"]["mirrored"]
        before.kill()
        routed.wait_for(lambda gone=before: shadow_process(routed) not in (None, gone))
        routed.wait_for(lambda mirrored=mirrored: routed.report("sum")["shadow"]["mirrored"] > mirrored + 50)
    assert sum(routed.report("sum")["shadow"]["bad"].values()) <= 2
    assert routed.report("sum")["breaker"] is None
    shadow_process(routed).send_signal(signal.SIGSEGV)
    routed.wait_for(lambda: routed.report("sum")["breaker"] is not None)
    assert "the shadow, version 2, died of SIGSEGV" in routed.report("sum")["breaker"]


@pytest.mark.parametrize("end", ["the gateway stops", "the gateway is killed", "stable goes on alone"])
def test_a_shadows_process_ends_with_what_it_was_started_for(routed, end):
    routed.move(2, stable=1, shadow=2)
    assert routed.client().ask(1.0, "ann")[0] == 200
    routed.wait_for(lambda: routed.report("sum")["shadow"]["mirrored"] == 1)
    process = shadow_process(routed)
    if end == "the gateway stops":
        assert routed.stop() == 0
    elif end == "the gateway is killed":
        routed.process.kill()
    else:
        routed.move(3, stable=1)
    assert psutil.wait_procs([process], timeout=120)[1] == []
