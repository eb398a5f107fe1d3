"""What only pods can show, against recorded answers of the Kubernetes API: fences, refusals, kubelets, many judges."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from components.errors import BadInputError, ConflictError, FaultError, InfrastructureError, StaleRevisionError
from components.release.targets import kubernetes_pods
from components.release.targets.kubernetes_api import KubernetesApi
from components.release.targets.kubernetes_pods import GatewayPods, at_port
from components.release.targets.kubernetes_router import KILL_MAP, ROUTER_MAP, SNAPSHOT_KEY, RouterConfigMap
from components.types.kill_switch import Killed
from components.types.release import JudgeSettings, ModelRef, ModelRoute, PlacedModel, Role, TrafficSplit
from tests.contract.targets.kubernetes_stand_in import NAMESPACE, POD, REFUSALS, StandIn
from tests.contract.targets.places import ROOT, Pods, PodsPlace

Until = Callable[[Callable[[], bool]], None]
JUDGE = JudgeSettings()


@pytest.fixture
def cluster() -> Iterator[StandIn]:
    made = StandIn()
    yield made
    made.stop()


@pytest.fixture
def api(cluster: StandIn) -> KubernetesApi:
    return KubernetesApi(NAMESPACE, cluster.connect)


@pytest.fixture
def router(api: KubernetesApi) -> RouterConfigMap:
    return RouterConfigMap(api, GatewayPods(api, at_port(8082), None).tell)


def placed(version: int, model: str = "taxi") -> PlacedModel:
    return PlacedModel(ModelRef(model, version, f"{version:064x}"), Path(f"/store/{version}"), "onnx")


def revs(cluster: StandIn) -> dict[str, int]:
    models = json.loads(cluster.data(ROUTER_MAP)[SNAPSHOT_KEY])["models"]
    return {name: route["split"]["rev"] for name, route in models.items()}


def test_recorded_answers_are_what_the_schemas_say() -> None:
    kubernetes_validate.validate(POD, "1.37", strict=True)
    for refusal in REFUSALS.values():
        assert refusal.keys() <= {"kind", "apiVersion", "metadata", "status", "message", "reason", "details", "code"}
        assert (refusal["kind"], refusal["apiVersion"], refusal["status"]) == ("Status", "v1", "Failure")


def test_recorded_a_writer_that_was_overtaken_reads_again_and_keeps_what_the_other_wrote(
    cluster: StandIn, router: RouterConfigMap, api: KubernetesApi
) -> None:
    router.load("taxi", placed(1), Role.STABLE)
    faster = RouterConfigMap(api, lambda name, version: None)
    cluster.before_update = lambda: faster.load("adult", placed(1, "adult"), Role.STABLE)
    router.route(TrafficSplit("taxi", 3, stable=1), JUDGE)
    assert revs(cluster) == {"taxi": 3, "adult": 0}


def test_recorded_a_writer_that_wakes_late_is_fenced_by_the_revision_it_finds(
    cluster: StandIn, router: RouterConfigMap, api: KubernetesApi
) -> None:
    for version, role in ((1, Role.STABLE), (2, Role.CANARY)):
        router.load("taxi", placed(version), role)
    faster = RouterConfigMap(api, lambda name, version: None)
    cluster.before_update = lambda: faster.route(TrafficSplit("taxi", 6, stable=2, previous=1), JUDGE)
    with pytest.raises(StaleRevisionError, match="revision 5 came too late"):
        router.route(TrafficSplit("taxi", 5, stable=1, canary=2, weight=50), JUDGE)
    assert router.route_of("taxi").split == TrafficSplit("taxi", 6, stable=2, previous=1)


def test_recorded_of_many_writers_none_is_lost(cluster: StandIn, router: RouterConfigMap) -> None:
    names = [f"model_{number}" for number in range(6)]
    threads = [threading.Thread(target=router.load, args=(name, placed(1, name), Role.STABLE)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert revs(cluster) == dict.fromkeys(names, 0)


def test_recorded_who_never_gets_through_is_told_of_a_conflict(cluster: StandIn, router: RouterConfigMap) -> None:
    router.load("taxi", placed(1), Role.STABLE)
    cluster.refuse = lambda verb, resource: "conflict" if verb == "update" else None
    with pytest.raises(ConflictError, match="written by others 20 times in a row; nothing was changed"):
        router.route(TrafficSplit("taxi", 1, stable=1), JUDGE)
    assert revs(cluster) == {"taxi": 0}


@pytest.mark.parametrize(
    ("verb", "resource", "refusal", "kind", "words"),
    [
        ("get", "configmaps", "forbidden", InfrastructureError, "the verb `get` on `configmaps` is forbidden"),
        ("create", "configmaps", "forbidden", InfrastructureError, "the verb `create` on `configmaps` is forbidden"),
        (
            "list",
            "pods",
            "forbidden",
            InfrastructureError,
            r"verb `list` on `pods` .*system:serviceaccount.*rbac\.yaml",
        ),
        ("patch", "pods", "forbidden", InfrastructureError, "the verb `patch` on `pods` is forbidden"),
        ("get", "configmaps", "unauthorized", InfrastructureError, "does not know who asks"),
        ("create", "configmaps", "overloaded", InfrastructureError, "500 etcdserver: request timed out; try again"),
        ("create", "configmaps", "too-large", FaultError, "may not be more than 1048576 bytes"),
    ],
)
def test_recorded_a_refusal_is_one_sentence_that_says_what_is_missing(
    cluster: StandIn,
    router: RouterConfigMap,
    verb: str,
    resource: str,
    refusal: str,
    kind: type[Exception],
    words: str,
) -> None:
    cluster.add_pod("gateway-a", "198.51.100.7")
    cluster.refuse = lambda asked, of: refusal if (asked, of) == (verb, resource) else None
    with pytest.raises(kind, match=words) as raised:
        router.load("taxi", placed(1), Role.STABLE)
    assert isinstance(raised.value, InfrastructureError) == (kind is InfrastructureError)


def test_an_api_that_is_down_is_an_infrastructure_error(cluster: StandIn, router: RouterConfigMap) -> None:
    cluster.stop()
    with pytest.raises(InfrastructureError, match=r"the Kubernetes API does not answer .*pods serve on"):
        router.read()
    cluster._thread = threading.Thread(target=lambda: None)  # so that it can be stopped once more
    cluster._thread.start()


def test_recorded_a_release_needs_the_verbs_of_its_role_and_no_other(cluster: StandIn, router: RouterConfigMap) -> None:
    cluster.add_pod("gateway-a", "198.51.100.7")
    router.load("taxi", placed(1), Role.STABLE)
    router.route(TrafficSplit("taxi", 1, stable=1), JUDGE)
    router.kill("taxi", 1, [2])
    role, *_ = yaml.safe_load_all((ROOT / "infra/kubernetes/base/release-rbac.yaml").read_text())
    granted = {(verb, of) for rule in role["rules"] for verb in rule["verbs"] for of in rule["resources"]}
    assert set(cluster.asked) == granted
    assert {name for rule in role["rules"] for name in rule.get("resourceNames", ())} == {ROUTER_MAP, KILL_MAP}


def test_recorded_pods_are_told_once_of_each_write_and_whoever_came_late_again(
    cluster: StandIn, router: RouterConfigMap
) -> None:
    cluster.add_pod("gateway-a", "198.51.100.7")
    router.load("taxi", placed(1), Role.STABLE)
    router.load("taxi", placed(1), Role.STABLE)
    assert cluster.asked.count(("patch", "pods")) == 1
    cluster.add_pod("gateway-b", "198.51.100.8")
    router.load("taxi", placed(1), Role.STABLE)  # its writer may have died before it told anybody
    assert cluster.asked.count(("patch", "pods")) == 2
    versions = {pod["metadata"]["annotations"][f"towpath.dev/{ROUTER_MAP}"].split()[0] for pod in cluster.pods.values()}
    assert versions == {cluster.maps[ROUTER_MAP]["metadata"]["resourceVersion"]}


def test_recorded_a_kubelet_whose_word_came_before_the_config_map_is_reminded(
    cluster: StandIn, api: KubernetesApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    brought: list[str] = []
    cluster.add_pod("gateway-a", "198.51.100.7", lambda name, data: brought.append(name))
    pods = GatewayPods(api, at_port(8082), None)
    cluster.overtaken = True
    RouterConfigMap(api, pods.tell).load("taxi", placed(1), Role.STABLE)
    pods.remind()
    assert brought == [], "it was told a moment ago"
    monkeypatch.setattr(kubernetes_pods, "_REMIND_S", 0.0)
    monkeypatch.setattr(kubernetes_pods, "_LOOK_S", 0.0)
    pods.remind()
    assert brought == [ROUTER_MAP]


def test_recorded_who_may_only_read_is_not_stopped_by_a_reminder(cluster: StandIn, api: KubernetesApi) -> None:
    cluster.add_pod("gateway-a", "198.51.100.7")["metadata"]["annotations"]["towpath.dev/x"] = "1 0"
    cluster.refuse = lambda verb, resource: "forbidden" if verb == "patch" else None
    GatewayPods(api, at_port(8082), None).remind()
    assert ("patch", "pods") in cluster.asked


def test_recorded_only_pods_that_run_and_stay_are_asked(cluster: StandIn, api: KubernetesApi) -> None:
    cluster.add_pod("gateway-runs", "2001:db8::7")
    cluster.add_pod("gateway-waits", "198.51.100.8")["status"]["phase"] = "Pending"
    cluster.add_pod("gateway-ends", "198.51.100.9")["metadata"]["deletionTimestamp"] = "2026-11-20T10:00:00Z"
    for number in range(600):  # more than one page
        cluster.add_pod(f"gateway-{number:03}", "198.51.100.10")
    found = api.running_pods("app.kubernetes.io/name=gateway")
    assert len(found) == 601
    assert at_port(8082)(found[-1]) == "http://[2001:db8::7]:8082"
    assert cluster.asked.count(("list", "pods")) == 2


def test_recorded_a_pod_that_gets_requests_must_answer_and_one_that_does_not_is_left_out(
    cluster: StandIn, api: KubernetesApi, free_port: Callable[[], int]
) -> None:
    pods = GatewayPods(api, at_port(free_port()), None)
    with pytest.raises(InfrastructureError, match=r"no pod of the gateway answers in namespace .*kubectl"):
        pods.living()
    pod = cluster.add_pod("gateway-a", "127.0.0.1")
    with pytest.raises(InfrastructureError, match="pod gateway-a gets requests, and the gateway at .* does not answer"):
        pods.living()
    pod["status"]["conditions"] = [{"type": "Ready", "status": "False"}]
    with pytest.raises(InfrastructureError, match="no pod of the gateway answers"):
        pods.living()


def test_recorded_a_damaged_snapshot_is_said_and_kept_beside_the_new_one(
    cluster: StandIn, router: RouterConfigMap
) -> None:
    cluster.write(ROUTER_MAP, {SNAPSHOT_KEY: "{"})
    with pytest.raises(FaultError, match="is no router snapshot"):
        router.read()
    route = ModelRoute(TrafficSplit("taxi", 4, stable=1), {"1": placed(1)})
    assert router.renew({"taxi": route}).models == {"taxi": route}
    assert cluster.data(ROUTER_MAP)[f"{SNAPSHOT_KEY}.damaged"] == "{"


def test_recorded_renewing_makes_what_pods_wait_for_and_keeps_what_is_further(
    cluster: StandIn, router: RouterConfigMap
) -> None:
    assert router.renew({}).models == {}
    assert SNAPSHOT_KEY in cluster.data(ROUTER_MAP)
    further = ModelRoute(TrafficSplit("taxi", 9, stable=2), {"2": placed(2)})
    router.renew({"taxi": further})
    late = ModelRoute(TrafficSplit("taxi", 4, stable=1), {"1": placed(1)})
    assert router.renew({"taxi": late}).models == {"taxi": further}


def test_recorded_the_kill_switch_only_ever_adds(cluster: StandIn, router: RouterConfigMap) -> None:
    assert router.killed("taxi") is None
    router.kill("taxi", 10, [4])
    router.kill("taxi", 3, [7])
    assert router.killed("taxi") == Killed(10, frozenset({4, 7}))
    assert cluster.data(KILL_MAP) == {"taxi": "10 4 7\n"}
    assert "key taxi of ConfigMap towpath-kill" in router.switch("taxi")
    with pytest.raises(BadInputError):
        router.kill("../taxi", 1)


@pytest.mark.slow
def test_the_kill_switch_takes_the_canary_from_every_pod(pods: Pods, pods_place: PodsPlace, until: Until) -> None:
    place = pods_place
    for role, version in ((Role.STABLE, 1), (Role.CANARY, 2)):
        place.target.deploy(role, place.ref(version))
    place.target.route(TrafficSplit(place.model, 4, stable=1, canary=2, weight=100))
    until(lambda: place.target.traffic().rev == 4)
    assert {place.answering(), place.answering()} == {2}
    place.router.kill(place.model, 4, [2])
    until(lambda: {place.answering(), place.answering()} == {1})
    until(lambda: (report := place.target.judged()) is not None and report.killed and report.weight == 0)


@pytest.mark.slow
def test_what_pods_know_is_told_together(pods: Pods, pods_place: PodsPlace, until: Until) -> None:
    place = pods_place
    place.target.deploy(Role.STABLE, place.ref(1))
    place.target.route(TrafficSplit(place.model, 1, stable=1))
    until(lambda: place.target.traffic().rev == 1)
    for _ in range(20):
        place.answering()
    until(lambda: place.target.health(Role.STABLE, 60.0).requests == 20)
    report = place.target.judged()
    assert report is not None
    assert report.stable is not None
    assert report.stable.requests == 20


@pytest.mark.slow
def test_one_pod_that_is_behind_is_what_is_reported(pods: Pods, pods_place: PodsPlace, until: Until) -> None:
    place = pods_place
    place.target.deploy(Role.STABLE, place.ref(1))
    place.target.route(TrafficSplit(place.model, 1, stable=1))
    until(lambda: place.target.traffic().rev == 1)
    pods.cluster.overtaken = True  # for one of both
    place.target.route(TrafficSplit(place.model, 2, stable=1))
    until(lambda: {g.router.route_of(place.model).split.rev for g in pods.gateways.values()} == {1, 2})
    assert place.target.traffic() == TrafficSplit(place.model, 1)
    until(lambda: place.target.traffic() == TrafficSplit(place.model, 2, stable=1))  # it was reminded
