"""An environment whose gateway runs in a cluster: what its section says, opened. Reads no file and asks nothing yet."""

from __future__ import annotations

from collections.abc import Callable

from components.release.targets.kubernetes_api import KubernetesApi, connect
from components.release.targets.kubernetes_pods import GatewayPods, at_port
from components.release.targets.kubernetes_pooling import spread
from components.release.targets.kubernetes_router import RouterConfigMap
from components.release.targets.kubernetes_target import KubernetesTarget
from components.types.release import JudgeSettings, ModelRef, PlacedModel
from pipelines.release.environment_config import KubernetesTargetSection


class Cluster:
    """One environment's namespace; may be used from several threads."""

    def __init__(self, section: KubernetesTargetSection, token: str | None) -> None:
        """Take the section, and the token that the gateway wants to see."""
        self._section = section
        self._api = KubernetesApi(section.namespace, connect(section.context))
        self._pods = GatewayPods(self._api, at_port(section.port), token)

    def router(self) -> RouterConfigMap:
        """Return the snapshot that its pods follow."""
        return RouterConfigMap(self._api, self._pods.tell)

    def judge(self, alone: JudgeSettings) -> JudgeSettings:
        """Return what the judge in each pod is told, where `alone` would be told to a single one."""
        return spread(alone, self._section.most_pods)

    def target(self, model: str, place: Callable[[ModelRef], PlacedModel], judge: JudgeSettings) -> KubernetesTarget:
        """Return where a model's traffic goes."""
        return KubernetesTarget(model, self.router(), self._pods, place, judge, self._section.ready_s)
