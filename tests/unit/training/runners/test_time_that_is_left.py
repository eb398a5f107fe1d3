"""Only training counts against a time-out: no wait for room, and no data on their way. The cluster is one in memory."""

from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from components.cluster.session import NodeLostError
from components.errors import InfrastructureError
from components.training.core.runner import Resources
from components.training.runners import ray
from components.training.runners.ray import ATTEMPTS, RayRunner


class Method:
    def __init__(self, body=lambda *_: None):
        self.remote = body

    def options(self, **_):
        return self


class Cluster:
    """Has room after 100 s, takes 50 s to take data, and loses every node 10 s after the training began."""

    def __init__(self):
        self.now_s, self.told_s = 0.0, []
        self.actor = SimpleNamespace(name=Method(lambda: "placed"), run=Method(self._train))

    def _train(self, task, prepared, checkpoint, timeout_s):
        self.told_s.append(timeout_s)
        return "stream"

    def start(self, body, request):
        self._placed_s = self.now_s + 100
        return self.actor

    def stop(self, actor):
        pass

    def require_capacity(self, request, what, key):
        pass

    def require_same_environment(self, actor):
        return "n"

    def send(self, *_):
        self.now_s += 50

    def ready(self, references, timeout_s):
        if references == ["stream"]:
            self.now_s += 10
            raise NodeLostError("gone")
        self.now_s += timeout_s
        return references if self.now_s >= self._placed_s else []


def test_lost_nodes_cost_the_time_they_trained_and_no_other(tmp_path, monkeypatch):
    cluster = Cluster()

    @contextmanager
    def joined():
        yield cluster

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ray, "joined", joined)
    monkeypatch.setattr(ray, "time", SimpleNamespace(monotonic=lambda: cluster.now_s))
    for name in ("prepared", "output", "checkpoints"):
        Path(name).mkdir()
    task = SimpleNamespace(
        model="m", training="t", threads=1, prepared_dir=Path("prepared"), checkpoint_dir=Path("checkpoints")
    )

    with pytest.raises(InfrastructureError, match=f"lost {ATTEMPTS} nodes"):
        RayRunner().run(task, Path("output"), 60.0, Resources())
    assert cluster.told_s == [60.0, 50.0, 40.0]
