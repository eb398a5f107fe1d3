"""The gateway's pods as the servers of a target: each is asked by its own address. Knows no ConfigMap's content.

A kubelet renews a mounted ConfigMap only once a minute or later; a changed annotation of the pod has it look at once
(Kubernetes, "Configure a Pod to Use a ConfigMap", "Mounted ConfigMaps are updated automatically"). So whoever writes
the snapshot annotates the pods. That word can overtake the ConfigMap on its way: who stays behind is reminded.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from components.errors import InfrastructureError, TowpathError
from components.release.protocol import Answer
from components.release.targets.following import Server, heard_lately
from components.release.targets.gateway_client import GatewayClient
from components.release.targets.kubernetes_api import KubernetesApi, Pod
from components.release.targets.kubernetes_pooling import pooled_health, pooled_report
from components.types.judging import GatewayStatus, Health, JudgeReport
from components.types.release import Role

SELECTOR = "app.kubernetes.io/name=gateway"
ANNOTATION = "towpath.dev/"
"""Before the ConfigMap's name: its resource version when the kubelet was last told to look, and when that was."""
_REMIND_S = 3.0
_LOOK_S = 1.0
_AT_ONCE = 16

T = TypeVar("T")


class GatewayPods:
    """The pods of one environment's gateway; may be used from several threads."""

    def __init__(self, api: KubernetesApi, address: Callable[[Pod], str], token: str | None) -> None:
        """Take the namespace, what says where a pod answers, and the token that it wants; nothing is asked yet."""
        self._api = api
        self._address = address
        self._token = token
        self._looked_s = 0.0

    def living(self) -> Sequence[Server]:
        """Return the workers of every pod that runs.

        A pod that gets requests must answer; one that is not ready yet is waited for only once it answers.

        Raises:
            InfrastructureError: no pod runs, one does not answer, or the cluster does not.
        """
        found = []
        for pod, status in self._statuses():
            living = heard_lately(status.workers)
            if not living:
                raise InfrastructureError(f"no worker of pod {pod.name} said anything lately; look at its log")
            found += [Server(f"worker {worker.worker} of pod {pod.name}", worker) for worker in living]
        return found

    def report(self, model: str) -> JudgeReport | None:
        """Return what the judges of all pods know together.

        Raises:
            InfrastructureError: no pod runs, one does not answer, or the cluster does not.
        """
        statuses = self._statuses()
        return pooled_report([status.reports.get(model) for _, status in statuses])

    def health(self, model: str, role: Role, window_s: float) -> Health | None:
        """Return what happened to a role's requests in all pods.

        Raises:
            InfrastructureError: no pod runs, one does not answer, or the cluster does not.
        """
        answers = self._ask(lambda client: client.health(model, role, window_s))
        return pooled_health([health for _, health in answers if health is not None])

    def ask(self, model: str, version: int, requests: Sequence[bytes]) -> Sequence[Answer]:
        """Return what every pod answers, each asked all requests at its own address.

        Raises:
            InfrastructureError: no pod runs, one does not answer, or the cluster does not.
        """
        answers = self._ask(lambda client: client.ask_workers(model, version, requests))
        return [answer for _, of_pod in answers for answer in of_pod]

    def tell(self, name: str, resource_version: str) -> None:
        """Have every pod's kubelet look at a ConfigMap, unless it was told of this resource version before.

        Raises:
            InfrastructureError: the cluster does not answer, or forbids it.
        """
        for pod in self._api.running_pods(SELECTOR):
            if _told(pod.annotations.get(ANNOTATION + name, ""))[0] != resource_version:
                self._annotate(pod, ANNOTATION + name, resource_version)

    def remind(self) -> None:
        """Have the kubelets look once more, every few seconds at most.

        Whoever may only read is not stopped by it: then the pods follow at their kubelets' own pace.
        """
        if time.monotonic() - self._looked_s < _LOOK_S:
            return
        self._looked_s = time.monotonic()
        with suppress(TowpathError):
            for pod in self._api.running_pods(SELECTOR):
                for name, value in pod.annotations.items():
                    version, told_s = _told(value)
                    if name.startswith(ANNOTATION) and abs(time.time() - told_s) >= _REMIND_S:
                        self._annotate(pod, name, version)

    def _annotate(self, pod: Pod, name: str, resource_version: str) -> None:
        self._api.annotate_pod(pod, name, f"{resource_version} {time.time():.3f}")

    def _statuses(self) -> list[tuple[Pod, GatewayStatus]]:
        return self._ask(lambda client: client.status())

    def _ask(self, question: Callable[[GatewayClient], T]) -> list[tuple[Pod, T]]:
        pods = self._api.running_pods(SELECTOR)

        def ask(pod: Pod) -> T | InfrastructureError:
            try:
                return question(GatewayClient(self._address(pod), self._token))
            except InfrastructureError as error:
                return error

        with ThreadPoolExecutor(_AT_ONCE) as threads:
            answers = list(zip(pods, threads.map(ask, pods), strict=True))
        found = []
        for pod, answer in answers:
            if not isinstance(answer, InfrastructureError):
                found.append((pod, answer))
            elif pod.is_ready:
                raise InfrastructureError(f"pod {pod.name} gets requests, and {answer}") from answer
        if not found:
            raise InfrastructureError(
                f"no pod of the gateway answers in namespace {self._api.namespace}; "
                f"`kubectl --namespace {self._api.namespace} get pods --selector {SELECTOR}` says why"
            )
        return found


def _told(value: str) -> tuple[str, float]:
    """Return what an annotation says: a resource version, and the time; the beginning of time where it says none."""
    version, _, when = value.partition(" ")
    try:
        return version, float(when)
    except ValueError:
        return version, 0.0


def at_port(port: int) -> Callable[[Pod], str]:
    """Return what says where a pod answers: its own address, which only the cluster's network reaches."""

    def address(pod: Pod) -> str:
        host = f"[{pod.address}]" if ":" in pod.address else pod.address
        return f"http://{host}:{port}"

    return address
