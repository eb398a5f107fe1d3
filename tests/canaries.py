"""Versions that answer as a test wants, and users who ask for them."""

import asyncio
import time

from components.errors import FaultError
from components.runtime.batch import InvalidOutputError
from tests.asking import call

STABLE, OTHER = 1, 2
BODY = {"inputs": {"x": [1.5]}}


class Broken:
    """A runtime that does something of its own before it answers, or instead; as a shadow, it is asked in a thread."""

    computes_elsewhere = True

    def __init__(self, inner, do):
        self.inner = inner
        self.do = do
        self.calls = 0

    def load(self, product):
        return self.inner.load(product)

    def predict(self, batch):
        self.calls += 1
        self.do()
        return self.inner.predict(batch)


def fail():
    raise FaultError("the graph failed")


def give_nonsense():
    raise InvalidOutputError("not a number")


def surprise():
    raise RuntimeError("nobody thought of this")


def ask_as(gateway, user, path="/invocations", body=BODY, **headers):
    return call(gateway, "POST", path, body, x_user_id=user, **headers)


def run(scenario):
    return asyncio.run(scenario)


def happened(bad):
    """What of a report's bad events is not 0."""
    return {kind: count for kind, count in bad.items() if count}


async def until(condition, time_s=10.0):
    """Wait for something that happens on the event loop, though not for ever."""
    end = time.monotonic() + time_s
    while not condition() and time.monotonic() < end:
        await asyncio.sleep(0.02)
