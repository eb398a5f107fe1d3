"""An environment whose gateway runs in a cluster: opened, refused, killed; and which environments are one's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from components.errors import ConfigError, InfrastructureError
from components.release.targets import kubernetes_api
from components.release.targets.kubernetes_api import KubernetesApi
from components.release.targets.kubernetes_router import KILL_MAP, RouterConfigMap
from components.release.targets.kubernetes_target import KubernetesTarget
from components.types.kill_switch import Killed
from components.types.release import Environment, JudgeSettings, ModelRef, ModelRoute, PlacedModel, TrafficSplit
from pipelines.gateway import run_gateway, start_gateway
from pipelines.release import cluster
from pipelines.release.environments import ENVIRONMENTS_DIR, load_environment
from pipelines.release.kill import kill, plan_kill
from pipelines.release.own import VARIABLE, own_environments
from tests.contract.targets.kubernetes_stand_in import NAMESPACE, StandIn

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("environments", "plans"):
        (tmp_path / "pipelines/configs" / folder).mkdir(parents=True)
        for path in (ROOT / "pipelines/configs" / folder).glob("*.yaml"):
            (tmp_path / "pipelines/configs" / folder / path.name).write_text(path.read_text())
    target = {"kind": "kubernetes", "namespace": NAMESPACE, "most_pods": 3}
    section = {"after": "local", "plan": "staging", "target": target}
    (tmp_path / ENVIRONMENTS_DIR / "staging.yaml").write_text(yaml.safe_dump({"environment": section}))
    return tmp_path


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    made = StandIn()
    monkeypatch.setattr(cluster, "connect", lambda context: made.connect)
    yield made
    made.stop()


def test_an_environment_of_pods_is_opened_without_asking_anybody(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    env = load_environment("staging", root)
    assert isinstance(env.target("taxi"), KubernetesTarget)
    assert isinstance(env.router(), RouterConfigMap)
    with pytest.raises(ConfigError, match=r"cannot connect to a cluster in a pod .*target\.context"):
        env.router().read()


def test_a_context_of_the_users_own_reaches_the_cluster(
    tmp_path: Path, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kubernetes.config import kube_config

    server = {"name": "c", "cluster": {"server": stand_in.connect().api_client.configuration.host}}
    context = {"name": "mine", "context": {"cluster": "c", "user": "u"}}
    content = {"clusters": [server], "contexts": [context], "users": [{"name": "u", "user": {"token": "t"}}]}
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "current-context": "mine"} | content))
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(path))
    assert KubernetesApi(NAMESPACE, kubernetes_api.connect("mine")).config_map("towpath-router") is None
    with pytest.raises(ConfigError, match="with context `theirs`"):
        KubernetesApi(NAMESPACE, kubernetes_api.connect("theirs")).config_map("towpath-router")


def test_the_judges_of_all_pods_share_one_error(root: Path) -> None:
    staging, production = (load_environment(each, root) for each in ("staging", "production"))
    alone = staging.plan().judge_settings
    assert staging.judge(staging.plan()).steps == 3 * alone.steps
    assert production.judge(production.plan()) == production.plan().judge_settings


def test_nothing_is_started_on_this_machine_for_it(root: Path, stand_in: StandIn) -> None:
    for start in (run_gateway, start_gateway):
        with pytest.raises(
            ConfigError, match=r"staging runs in the cluster .*kubectl apply --kustomize .*overlays/staging"
        ):
            start(None, None, root, "staging")
    assert stand_in.asked == []


def test_a_canary_in_pods_is_killed_by_the_same_command(root: Path, stand_in: StandIn) -> None:
    env = load_environment("staging", root)
    placed = {
        str(number): PlacedModel(ModelRef("taxi", number, f"{number:064x}"), Path("/x"), "onnx") for number in (1, 2)
    }
    split = TrafficSplit("taxi", 10, stable=1, canary=2, weight=5)
    env.router().renew({"taxi": ModelRoute(split, placed, JudgeSettings())})
    planned = plan_kill(env, "taxi")
    assert "until key taxi of ConfigMap towpath-kill in namespace towpath-staging is deleted" in planned.changes
    kill(env, planned)
    assert env.router().killed("taxi") == Killed(10, frozenset({2}))
    assert stand_in.data(KILL_MAP) == {"taxi": "10 2\n"}
    stand_in.refuse = lambda verb, resource: "forbidden"
    with pytest.raises(InfrastructureError, match="verb `get` on `configmaps` is forbidden"):
        kill(env, planned)


@pytest.mark.parametrize(
    ("target", "answer"),
    [
        ("{kind: kubernetes}", r"environment\.target\.kubernetes\.namespace"),
        ("{kind: kubernetes, namespace: Towpath}", r"environment\.target\.kubernetes\.namespace"),
        (
            "{kind: kubernetes, namespace: x, most_pod: 2}",
            r"`environment\.target\.kubernetes\.most_pod` \(did you mean `most_pods`",
        ),
        ("{kind: kubernets, namespace: x}", r"environment\.target`: input tag 'kubernets'"),
    ],
)
def test_a_mistake_is_answered_by_its_full_path(root: Path, target: str, answer: str) -> None:
    text = f"environment: {{after: local, plan: staging, target: {target}}}"
    (root / ENVIRONMENTS_DIR / "staging.yaml").write_text(text)
    with pytest.raises(ConfigError, match=answer):
        load_environment("staging", root)


def test_a_worker_of_its_own_looks_after_what_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert own_environments() == tuple(each.value for each in Environment)
    monkeypatch.setenv(VARIABLE, "local, staging")
    assert own_environments() == ("local", "staging")
    monkeypatch.setenv(VARIABLE, "produktion")
    with pytest.raises(ConfigError, match=r"names `produktion` \(did you mean `production`\?\)"):
        own_environments()
