"""A gateway that runs out of descriptors or memory while it serves: the old version answers on, the new one later.

The limits are set from outside, on the process that runs.
"""

import http.client
import json
import os
import resource
import sys
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from bench.products import plain_input, write_product
from components.types.dataset import Task
from components.types.product import Signature
from components.types.release import TrafficSplit
from tests.waiting import until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of another process: Linux alone"),
]
MIB = 1 << 20
HEADROOM_BYTES, LARGE_BYTES = 24 * MIB, 64 * MIB


class Cramped:
    """A gateway that serves version 1 of `sum`, and one connection to it that was made while there was enough."""

    def __init__(self, running, versions):
        self.running, self.versions = running, versions
        running.route(TrafficSplit("sum", 1, stable=1), {1: versions[1]})
        running.start()
        self.pid = running.process.pid
        self.connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=60)
        assert self.answered() == (1, 1001.0)

    def ask(self, method, path, body=None):
        self.connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        response = self.connection.getresponse()
        content = response.read()
        assert response.status == 200, content
        return json.loads(content)

    def answered(self):
        answer = self.ask("POST", "/models/sum/invocations", json.dumps({"inputs": {"x": [1.0]}}))
        return int(answer["model_version"]), answer["predictions"][0]["prediction"]

    @property
    def worker(self):
        (worker,) = self.ask("GET", "/release/status")["workers"]
        return worker

    def allow(self, what, most=None):
        """Set a soft limit of the running process, or take it away."""
        hard = resource.prlimit(self.pid, what)[1]
        resource.prlimit(self.pid, what, (hard if most is None else most, hard))

    def require_old_until_allowed(self, what, said, **split):
        """Ask for a split that cannot be had; it is told of and comes once the limit is gone, the old one answers."""
        before = self.worker["revs"]["sum"]
        self.running.route(
            TrafficSplit("sum", before + 1, **split), {number: self.versions[number] for number in {*split.values()}}
        )
        problem = until(lambda: self.worker["problems"].get("sum", ""), f"a problem with {said}")
        assert said in problem
        assert "\n" not in problem
        assert "Traceback" not in problem
        assert {self.answered() for _ in range(50)} == {(1, 1001.0)}
        assert self.worker["revs"].get("sum") != before + 1, "nobody may take it for served"
        self.allow(what)
        until(lambda: self.worker["revs"] == {"sum": before + 1}, "the split that was asked for")
        assert self.worker["problems"] == {}


@pytest.fixture
def cramped(running, sum_versions):
    made = Cramped(running, {1: sum_versions(1), 2: sum_versions(2), 3: sum_versions(3)})
    yield made
    made.connection.close()


def free_descriptor(pid):
    """Return the first number that a process could give to a new descriptor."""
    taken = {int(each) for each in os.listdir(f"/proc/{pid}/fd")}
    return next(number for number in count() if number not in taken)


def test_without_descriptors_the_old_version_answers_until_there_are_some(cramped):
    for spare in (0, 1, 2):
        cramped.allow(resource.RLIMIT_NOFILE, free_descriptor(cramped.pid) + spare)
        cramped.require_old_until_allowed(resource.RLIMIT_NOFILE, "Too many open files", stable=1, canary=2 + spare % 2)


def test_without_memory_the_old_version_answers_until_there_is_some(cramped, tmp_path):
    nodes = [helper.make_node("Add", ["x", "offset"], ["prediction"])]
    weights = {"offset": np.array(2000.0), "ballast": np.zeros(LARGE_BYTES // 8)}
    signature = Signature(Task.REGRESSION, (plain_input("x"),), ())
    cramped.versions[2] = write_product(tmp_path / "large", signature, nodes, weights)
    pages = int(Path(f"/proc/{cramped.pid}/statm").read_text().split()[0])
    cramped.allow(resource.RLIMIT_AS, pages * resource.getpagesize() + HEADROOM_BYTES)
    cramped.require_old_until_allowed(resource.RLIMIT_AS, "memory", stable=2)
    assert cramped.answered() == (2, 2001.0)
