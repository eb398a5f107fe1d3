"""Requests that are mirrored: no byte of any answer changes, whatever the shadow does."""

import threading
import time

import pytest

from tests.canaries import BODY, OTHER, ask_as, fail, give_nonsense, happened, run, surprise, until

pytestmark = pytest.mark.slow


def hang():
    time.sleep(30)


async def answers_to(gateway, count=40, mirror_s=0.0):
    found = []
    for number in range(count):
        body = BODY if number % 5 else {"inputs": {"x": ["one"]}}
        answer = await ask_as(gateway, f"user-{number}", body=body, x_request_id=f"r{number}")
        found.append((answer.status, answer.headers, answer.body))
    await until(lambda: mirrored(gateway) == sum(number % 5 != 0 for number in range(count)), mirror_s)
    return found


def mirrored(gateway):
    shadow = gateway.judges["sum"].report().shadow
    return 0 if shadow is None else shadow.mirrored


@pytest.mark.parametrize("do", [None, fail, give_nonsense, surprise, hang])
def test_a_shadow_changes_no_byte_of_any_answer(rollout, do):
    alone = run(answers_to(rollout()))
    gateway = rollout(do, shadow=OTHER)
    assert run(answers_to(gateway, mirror_s=0.4 if do is hang else 60.0)) == alone
    shadow = gateway.judges["sum"].report().shadow
    assert shadow.mirrored == 32 or do is hang
    if do is None:
        assert (shadow.mirrored, shadow.differing, shadow.dropped) == (32, 32, 0)
    if do is fail:
        assert happened(shadow.bad) == {"server_error": 32}


def test_a_shadow_of_another_signature_is_asked_in_its_own_words(rollout):
    gateway = rollout(product=3, shadow=OTHER)
    run(answers_to(gateway, 10, mirror_s=20.0))
    assert happened(gateway.judges["sum"].report().shadow.bad) == {"server_error": 8}


def test_the_shadows_queue_is_bounded_and_what_does_not_fit_is_counted(rollout, monkeypatch):
    monkeypatch.setattr("components.serving.mirroring.thread_lane.WAITING", 5)
    gate = threading.Event()
    gateway = rollout(lambda: gate.wait(20), shadow=OTHER)

    async def scenario():
        for number in range(50):
            assert (await ask_as(gateway, f"user-{number}")).status == 200
        dropped = gateway.judges["sum"].report().shadow.dropped
        gate.set()
        await until(lambda: mirrored(gateway) + dropped == 50, 60.0)
        return dropped

    assert run(scenario()) in (44, 45)
    assert gateway.judges["sum"].report().shadow.mirrored in (5, 6)


def test_a_stopped_shadow_is_asked_no_more(rollout):
    gateway = rollout(shadow=OTHER)
    gateway.judges["sum"]._rollout.stops.kill()
    run(answers_to(gateway, 10, mirror_s=0.4))
    assert mirrored(gateway) == 0
