"""Pods of a cluster as a deployment target: the gateway routes, Kubernetes only runs it. Knows no ledger.

The snapshot is a ConfigMap that every pod has as a file; see `following` for what becomes of it. Versions lie on a
volume that whoever releases and all pods have at the same path.
"""

from __future__ import annotations

from collections.abc import Callable

from components.release.targets.following import FollowingTarget
from components.release.targets.kubernetes_pods import GatewayPods
from components.release.targets.kubernetes_router import RouterConfigMap
from components.types.release import JudgeSettings, ModelRef, PlacedModel


class KubernetesTarget(FollowingTarget):
    """One model in the gateway pods of a namespace."""

    def __init__(
        self,
        model: str,
        router: RouterConfigMap,
        pods: GatewayPods,
        place: Callable[[ModelRef], PlacedModel],
        judge: JudgeSettings,
        ready_s: float = 90.0,
        poll_s: float = 0.5,
    ) -> None:
        """Take what is needed to reach the cluster; asks nothing.

        Args:
            model: The model.
            router: The ConfigMap that the pods follow.
            pods: How they are asked.
            place: Puts a version's bytes on the volume, checks its digest, and says where they are.
            judge: What the judge in each pod is told with the next split (`kubernetes_pooling.spread`).
            ready_s: How long the pods may take to load a version.
            poll_s: How often they are asked meanwhile.
        """
        super().__init__(model, router, pods, place, judge, ready_s, poll_s)
