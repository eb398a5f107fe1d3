"""Places where targets are tried: no servers at all, and a gateway process. Each has a model of its own there."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from components.release.protocol import DeploymentTarget
from components.release.router import RouterFile
from components.release.store import Store
from components.release.targets.following import FollowingTarget
from components.release.targets.kubernetes_api import KubernetesApi, Pod
from components.release.targets.kubernetes_pods import GatewayPods
from components.release.targets.kubernetes_router import KILL_MAP, ROUTER_MAP, SNAPSHOT_KEY, RouterConfigMap
from components.release.targets.kubernetes_target import KubernetesTarget
from components.release.targets.memory import MemoryTarget
from components.release.targets.process import ProcessTarget
from components.stage.files import write_text
from components.types.kill_switch import FOLDER
from components.types.product import GRAPH_FILE
from components.types.release import JudgeSettings, ModelRef, PlacedModel
from tests.contract.targets.kubernetes_stand_in import NAMESPACE, StandIn

ROOT = Path(__file__).resolve().parents[3]
VERSIONS = (1, 2, 3)
BROKEN = 9
"""A version whose bytes are those that were promised, and that does not load."""
TOKEN = "a-token-for-tests-only"

_names = (f"model_{number}" for number in itertools.count())


class Place(Protocol):
    """Where one model is served, and what a test may do to it."""

    model: str
    target: DeploymentTarget

    def ref(self, version: int) -> ModelRef: ...
    def damage(self, version: int) -> None: ...
    def answering(self) -> int | None: ...
    def request(self, x: float) -> bytes: ...
    def state(self) -> str: ...
    def stop(self) -> None: ...
    def start(self) -> None: ...


class MemoryPlace:
    """A `MemoryTarget`, and the digests of the versions that it can have."""

    def __init__(self) -> None:
        self.model = next(_names)
        self._digests = {version: f"{version:064x}" for version in (*VERSIONS, BROKEN)}
        self._there = dict(self._digests)
        self.target: MemoryTarget = MemoryTarget(
            self.model, self._there, broken=frozenset({BROKEN}), answers=_answer_of_sum
        )

    def ref(self, version: int) -> ModelRef:
        return ModelRef(self.model, version, self._digests[version])

    def damage(self, version: int) -> None:
        self._there[version] = "f" * 64

    def answering(self) -> int | None:
        return self.target.answering()

    def request(self, x: float) -> bytes:
        return _request(x)

    def state(self) -> str:
        return repr((self.target.deployed, self.target.history))

    def stop(self) -> None:
        self.target.down = True

    def start(self) -> None:
        self.target.down = False


def _answer_of_sum(version: int, request: bytes) -> bytes:
    """Return what the versions of a gateway answer: their number in thousands is added."""
    (x,) = json.loads(request)["inputs"][0]["data"]
    return json.dumps({"outputs": [{"name": "prediction", "data": [1000.0 * version + x]}]}).encode()


def _request(x: float) -> bytes:
    return json.dumps({"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [x]}]}).encode()


class GatewayProcess:
    """A gateway as its users start it, on a snapshot that begins empty."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.router = RouterFile(folder / "router.json")
        self.router.renew({})
        self._folder, self._arguments = folder, arguments
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        port_file = self._folder / "port"
        port_file.unlink(missing_ok=True)
        command = [sys.executable, "-m", "components.serving", "--snapshot", str(self.router.path), *self._arguments]
        command += ["--port", str(self.port), "--port-file", str(port_file)]
        with (self._folder / "log").open("a") as log:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, "TOWPATH_GATEWAY_TOKEN": TOKEN}, stdout=log, stderr=log
            )
        end = time.monotonic() + 60
        while not port_file.exists():
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < end, self.log()
            time.sleep(0.02)
        self.port = int(port_file.read_text())

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(120)
            finally:
                self._process.kill()
            self._process = None

    def log(self) -> str:
        return (self._folder / "log").read_text()


class GatewayPlace:
    """One model in a gateway process, with versions whose answers tell their number."""

    def __init__(self, gateway: GatewayProcess, store: Store, digests: dict[int, str], ready_s: float = 20.0) -> None:
        self.model, self.gateway = next(_names), gateway
        self._store, self._digests = store, dict(digests)
        self.target: FollowingTarget = ProcessTarget(
            self.model, gateway.router, lambda: gateway.url, self._placed, JudgeSettings(), TOKEN, ready_s
        )

    def _placed(self, ref: ModelRef) -> PlacedModel:
        return PlacedModel(ref, self._store.path(ref.digest), "onnx")

    def ref(self, version: int) -> ModelRef:
        return ModelRef(self.model, version, self._digests[version])

    def damage(self, version: int) -> None:
        graph = self._store.root / self._digests[version] / GRAPH_FILE
        graph.chmod(0o644)
        content = bytearray(graph.read_bytes())
        content[len(content) // 2] ^= 1
        graph.write_bytes(content)

    def answering(self) -> int:
        """Return which version answers somebody who does not get the canary."""
        connection = http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=60)
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
        try:
            connection.request("POST", f"/v2/models/{self.model}/infer", _request(0.0), headers)
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        assert response.status == 200, body
        return round(json.loads(body)["outputs"][0]["data"][0] / 1000)

    def request(self, x: float) -> bytes:
        return _request(x)

    def state(self) -> str:
        return self.gateway.router.path.read_text()

    def stop(self) -> None:
        self.gateway.stop()

    def start(self) -> None:
        self.gateway.start()


class Pods:
    """Two gateway processes that stand for pods of a cluster; their files are what a kubelet brings them."""

    def __init__(self, folder: Path) -> None:
        self.cluster = StandIn()
        self.gateways: dict[str, GatewayProcess] = {}
        for name in ("gateway-a", "gateway-b"):
            (folder / name).mkdir()
            self.gateways[name] = gateway = GatewayProcess(folder / name)
            self.cluster.add_pod(name, "127.0.0.1", lambda which, data, gateway=gateway: _bring(gateway, which, data))

    def address(self, pod: Pod) -> str:
        return self.gateways[pod.name].url

    def start(self) -> None:
        self._each(GatewayProcess.start)

    def stop(self) -> None:
        self._each(GatewayProcess.stop)

    def _each(self, act: Callable[[GatewayProcess], None]) -> None:
        with ThreadPoolExecutor() as threads:  # each waits for its process, and not for the other one's
            list(threads.map(act, self.gateways.values()))


def _bring(gateway: GatewayProcess, name: str, data: dict[str, str]) -> None:
    """Renew a pod's files as a kubelet does: each ConfigMap is a folder, each key a file that is replaced whole."""
    folder = gateway.router.path.parent
    if name == ROUTER_MAP:
        write_text(gateway.router.path, data[SNAPSHOT_KEY])
    elif name == KILL_MAP:
        for model, text in data.items():
            write_text(folder / FOLDER / model, text)


class PodsPlace(GatewayPlace):
    """One model in gateway pods; whoever asks comes to one after the other."""

    def __init__(self, pods: Pods, store: Store, digests: dict[int, str]) -> None:
        super().__init__(next(iter(pods.gateways.values())), store, digests)
        self.pods = pods
        self._turn = itertools.cycle(pods.gateways.values())
        api = KubernetesApi(NAMESPACE, pods.cluster.connect)
        asked = GatewayPods(api, pods.address, TOKEN)
        self.router = RouterConfigMap(api, asked.tell)
        self.target = KubernetesTarget(
            self.model, self.router, asked, self._placed, JudgeSettings(), ready_s=20.0, poll_s=0.05
        )

    def answering(self) -> int:
        self.gateway = next(self._turn)
        return super().answering()

    def state(self) -> str:
        return json.dumps(self.pods.cluster.data(ROUTER_MAP))

    def stop(self) -> None:
        self.pods.stop()

    def start(self) -> None:
        self.pods.start()
