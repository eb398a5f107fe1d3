"""What infra/kubernetes builds, as far as it can be judged without a cluster: schemas, house rules, references."""

from __future__ import annotations

import copy
import functools
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from components.release.targets.kubernetes_pods import SELECTOR
from components.release.targets.kubernetes_router import KILL_MAP, ROUTER_MAP, SNAPSHOT_KEY
from components.serving.__main__ import _options
from components.serving.model_table import make_routes
from components.serving.page import history
from components.types import kill_switch
from pipelines.release.environment_config import EnvironmentSection, KubernetesTargetSection
from pipelines.release.environments import load_environment
from tests.kubernetes_rules import labels_of, of_kind, open_to_workers, pod_of, problems, selects
from tests.kustomizations import Manifest, build, containers, load, merged

FOLDER = Path("infra/kubernetes")
OVERLAYS = ("staging", "production")
SCHEMAS = ("1.32", "1.37")
"""The oldest that the page names, and the newest there is."""


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def manifests(root: Path, overlay: str) -> list[Manifest]:
    return built(root / FOLDER / "overlays" / overlay)


@pytest.fixture
def page(root: Path) -> str:
    return (root / "docs/kubernetes.md").read_text()


def built(folder: Path) -> list[Manifest]:
    return copy.deepcopy(_built(folder))


@functools.cache
def _built(folder: Path) -> list[Manifest]:
    return build(folder)


def test_what_is_built_is_what_kubectl_builds(root: Path, overlay: str) -> None:
    if (kubectl := shutil.which("kubectl")) is None:
        pytest.skip("kubectl is not on the path; the kustomizations are built by tests/kustomizations.py alone")
    for folder in (root / FOLDER / "overlays" / overlay, root / FOLDER / "cluster"):
        done = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        theirs = [each for each in yaml.safe_load_all(done.stdout) if each]
        assert _in_order(theirs) == _in_order(built(folder))


def _in_order(found: Any) -> Any:
    """Return what was found with every list sorted: the order of manifests and variables says nothing."""
    if isinstance(found, dict):
        return {key: _in_order(value) for key, value in found.items()}
    if isinstance(found, list):
        return sorted(map(_in_order, found), key=lambda each: json.dumps(each, sort_keys=True))
    return found


def test_every_manifest_is_what_its_schema_asks_for(
    root: Path, manifests: list[Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = functools.cache(kubernetes_validate.utils.schema_contents)
    monkeypatch.setattr(kubernetes_validate.utils, "schema_contents", contents)
    for manifest in (*manifests, *built(root / FOLDER / "cluster")):
        for version in SCHEMAS:
            assert kubernetes_validate.validate(manifest, version, strict=True) == version
    strange = merged(of_kind(manifests, "Deployment")["gateway"], {"spec": {"replicaz": 2}})
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(strange, SCHEMAS[-1], strict=True)


def test_no_rule_of_the_house_is_broken(manifests: list[Manifest]) -> None:
    assert problems(manifests) == []
    assert of_kind(manifests, "Deployment").keys() == {"gateway", "mlflow", "prefect", "watchdog", "worker"}


def _container(manifests: list[Manifest], name: str) -> dict[str, Any]:
    return next(iter(pod_of(of_kind(manifests, "Deployment")[name])["containers"]))


def _without(manifests: list[Manifest], kind: str, name: str) -> None:
    manifests.remove(of_kind(manifests, kind)[name])


def _first_peer(manifests: list[Manifest], policy: str, way: str) -> dict[str, Any]:
    rule = of_kind(manifests, "NetworkPolicy")[policy]["spec"][way][0]
    found: dict[str, Any] = rule["from" if way == "ingress" else "to"][0]
    return found


BREAKS: dict[str, Callable[[list[Manifest]], object]] = {
    "gateway: gateway has no readinessProbe": lambda m: _container(m, "gateway").pop("readinessProbe"),
    "mlflow: mlflow has no limits": lambda m: _container(m, "mlflow")["resources"].pop("limits"),
    "prefect: may run as root": lambda m: pod_of(of_kind(m, "Deployment")["prefect"]).pop("securityContext"),
    "mlflow: gets services": lambda m: pod_of(of_kind(m, "Deployment")["mlflow"]).pop("enableServiceLinks"),
    "gateway: gateway may write": lambda m: _container(m, "gateway")["securityContext"].pop("readOnlyRootFilesystem"),
    "gateway: has the cluster's token": lambda m: pod_of(of_kind(m, "Deployment")["gateway"]).pop(
        "automountServiceAccountToken"
    ),
    "worker: .* is not pinned": lambda m: _container(m, "worker").update(image="registry.example.com/x:latest"),
    "worker: has not one PodDisruptionBudget": lambda m: _without(m, "PodDisruptionBudget", "worker"),
    "watchdog: no NetworkPolicy": lambda m: _without(m, "NetworkPolicy", "watchdog"),
    "nothing is denied by default": lambda m: _without(m, "NetworkPolicy", "nothing-else"),
    "about pods that are not there": lambda m: of_kind(m, "NetworkPolicy")["mlflow"]["spec"].update(
        podSelector={"matchLabels": {"app.kubernetes.io/name": "mlfow"}}
    ),
    "NetworkPolicy watchdog: nobody listens at .'4201'": lambda m: of_kind(m, "NetworkPolicy")["watchdog"]["spec"][
        "egress"
    ][0]["ports"][0].update(port=4201),
    "NetworkPolicy mlflow opens ingress of mlflow": lambda m: _first_peer(m, "mlflow", "ingress").update(
        namespaceSelector={"matchLabels": {"app.kubernetes.io/part-of": "towpath"}}
    ),
    "NetworkPolicy worker opens egress of worker": lambda m: _first_peer(m, "worker", "egress").update(
        namespaceSelector={"matchLabels": {"kubernetes.io/metadata.name": "towpath-production"}}
    ),
    "NetworkPolicy mlflow admits everybody": lambda m: of_kind(m, "NetworkPolicy")["mlflow"]["spec"]["ingress"][0].pop(
        "from"
    ),
    "there is no ConfigMap settings": lambda m: _without(m, "ConfigMap", "settings"),
    "there is no ServiceAccount gateway": lambda m: _without(m, "ServiceAccount", "gateway"),
    "there is no PersistentVolumeClaim state": lambda m: _without(m, "PersistentVolumeClaim", "state"),
    "gateway: no port web": lambda m: _container(m, "gateway")["livenessProbe"]["httpGet"].update(port="web"),
    "Service prefect leads nowhere": lambda m: _without(m, "Deployment", "prefect"),
    "has no key AWS_DEFAULT_REGION": lambda m: of_kind(m, "ConfigMap")["settings"]["data"].pop("AWS_DEFAULT_REGION"),
    "RoleBinding is about Role release": lambda m: _without(m, "Role", "release"),
    "has a number of replicas": lambda m: of_kind(m, "Deployment")["gateway"]["spec"].update(replicas=2),
}


@pytest.mark.parametrize("words", BREAKS)
def test_a_rule_that_is_broken_is_found(root: Path, words: str) -> None:
    manifests = built(root / FOLDER / "overlays/staging")
    BREAKS[words](manifests)
    assert any(re.search(words, each) for each in problems(manifests)), problems(manifests)


def test_mlflow_hears_its_own_worker_and_in_staging_that_of_production(root: Path) -> None:
    labels = {
        each: labels_of(of_kind(built(root / FOLDER / "overlays" / each), "Deployment")["worker"]) for each in OVERLAYS
    }
    for here in OVERLAYS:
        manifests = built(root / FOLDER / "overlays" / here)
        heard = {each for each in OVERLAYS if _hears(manifests, "mlflow", f"towpath-{each}", labels[each])}
        assert heard == ({"staging", "production"} if here == "staging" else {"production"})
        assert not _hears(manifests, "mlflow", "towpath-somebody", labels[here])


def _hears(manifests: list[Manifest], name: str, namespace: str, labels: dict[str, str]) -> bool:
    """Return whether a pod of a Deployment admits pods with these labels, of a namespace that says to be of Towpath."""
    (here,) = of_kind(manifests, "Namespace")
    marks = {"app.kubernetes.io/part-of": "towpath", "kubernetes.io/metadata.name": namespace}
    pod = labels_of(of_kind(manifests, "Deployment")[name])
    policies = [each["spec"] for each in of_kind(manifests, "NetworkPolicy").values()]
    peers = [
        peer
        for spec in policies
        if selects(spec["podSelector"], pod)
        for rule in spec.get("ingress", ())
        for peer in rule["from"]
    ]
    return any(
        (selects(peer["namespaceSelector"], marks) if "namespaceSelector" in peer else namespace == here)
        and selects(peer.get("podSelector", {}), labels)
        for peer in peers
    )


def test_overlays_differ_in_size_hosts_and_budgets(root: Path) -> None:
    staging, production = (built(root / FOLDER / "overlays" / each) for each in OVERLAYS)
    for kind, name, path in (
        ("HorizontalPodAutoscaler", "gateway", ("spec", "maxReplicas")),
        ("PodDisruptionBudget", "gateway", ("spec",)),
        ("Ingress", "gateway", ("spec", "rules")),
        ("Deployment", "mlflow", ("spec", "replicas")),
        ("PersistentVolumeClaim", "state", ("spec", "resources")),
        ("ConfigMap", "settings", ("data", "MLFLOW_ARTIFACTS_DESTINATION")),
    ):
        found = [
            functools.reduce(lambda at, key: at[key], path, of_kind(each, kind)[name]) for each in (staging, production)
        ]
        assert found[0] != found[1], (kind, name)
    assert _container(staging, "gateway")["resources"] != _container(production, "gateway")["resources"]


def test_every_secret_is_on_the_page_and_none_has_a_value(manifests: list[Manifest], page: str) -> None:
    assert not of_kind(manifests, "Secret")
    for deployment in of_kind(manifests, "Deployment").values():
        for container in containers(deployment):
            for variable in container.get("env", ()):
                name = variable["name"]
                if "valueFrom" not in variable:
                    assert not re.search(r"PASSWORD|TOKEN|SECRET|ACCESS_KEY|LEDGER_URL|CONNECTION", name), name
                elif secret := variable["valueFrom"].get("secretKeyRef"):
                    assert f"secret generic {secret['name']} " in page, secret
                    assert f"--from-literal={secret['key']}=" in page, secret
            for source in container.get("envFrom", ()):
                assert f"secret generic {source['secretRef']['name']} " in page
                assert source["secretRef"]["optional"] is True
    for ingress in of_kind(manifests, "Ingress").values():
        assert all(f"secret tls {each['secretName']} " in page for each in ingress["spec"]["tls"])


def test_every_variable_is_one_that_somebody_reads(root: Path, manifests: list[Manifest]) -> None:
    files = [*(root / "pipelines").rglob("*.py"), *(root / "components").rglob("*.py"), root / "infra/compose.yaml"]
    files += [*(root / "pipelines/configs/environments").glob("*.yaml"), *(root / "infra/docker").glob("*.Dockerfile")]
    known = "\n".join(path.read_text() for path in files)
    for deployment in of_kind(manifests, "Deployment").values():
        shared = {each["name"] for one in containers(deployment) for each in one.get("env", ())}
        own = str([(one.get("command"), one.get("args"), one["volumeMounts"]) for one in containers(deployment)])
        unread = [name for name in shared if not re.search(rf"\b{name}\b", known) and name not in own]
        assert unread == [], deployment["metadata"]["name"]


def test_the_gateway_understands_its_arguments_and_answers_its_probes(root: Path, manifests: list[Manifest]) -> None:
    container = _container(manifests, "gateway")
    options = _options(container["args"])
    assert container["ports"] == [{"name": "http", "containerPort": options.port}]
    routes = make_routes({}, {})
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert routes[container[probe]["httpGet"]["path"]].is_open, probe
    volumes = {each["name"]: each for each in pod_of(of_kind(manifests, "Deployment")["gateway"])["volumes"]}
    by_path = {each["mountPath"]: volumes[each["name"]] for each in container["volumeMounts"]}
    assert options.snapshot.name == SNAPSHOT_KEY
    assert by_path[str(options.snapshot.parent)]["configMap"]["name"] == ROUTER_MAP
    assert "emptyDir" in by_path[str(options.snapshot.parent / history.FOLDER)]
    assert by_path[str(options.snapshot.parent / kill_switch.FOLDER)]["configMap"] == {
        "name": KILL_MAP,
        "optional": True,
    }
    assert {str(options.state_dir), str(options.log_dir), "/tmp"} <= by_path.keys()
    key, _, value = SELECTOR.partition("=")
    assert labels_of(of_kind(manifests, "Deployment")["gateway"])[key] == value


def test_worker_and_pods_find_versions_and_logs_at_the_same_place(
    root: Path, overlay: str, manifests: list[Manifest]
) -> None:
    env = load_environment(overlay, root)
    mounts = {each["mountPath"]: each for each in _container(manifests, "gateway")["volumeMounts"]}
    named = {each["name"]: each.get("value") for each in _container(manifests, "gateway")["env"]}
    assert named["ENVIRONMENT"] == overlay
    state = root / ".towpath"
    products = mounts["/towpath/.towpath/environments"]
    assert products["readOnly"] is True
    assert env.store().root.relative_to(state).parts[0] == products["subPath"]
    logs = mounts["/towpath/log"]["subPathExpr"].replace("$(ENVIRONMENT)", overlay)
    assert logs == str(env.log_dir.relative_to(state))
    for container in containers(of_kind(manifests, "Deployment")["worker"]):
        assert {"name": "state", "mountPath": "/towpath/.towpath"} in container["volumeMounts"]


def test_a_worker_looks_after_the_environments_of_its_namespace(
    root: Path, overlay: str, manifests: list[Manifest]
) -> None:
    for container in containers(of_kind(manifests, "Deployment")["worker"]):
        named = {each["name"]: each.get("value") for each in container["env"]}
        assert named["ENVIRONMENT"] == overlay
        assert overlay in named["TOWPATH_OWN_ENVIRONMENTS"].split(",")
        known = {each["name"] for each in yaml.safe_load((root / "infra/prefect.yaml").read_text())["deployments"]}
        assert set(named["SCHEDULES"].split()) <= known
    assert "training" not in str([c["env"] for c in containers(of_kind(manifests, "Deployment")["worker"])])


def test_the_page_gives_each_environment_a_target_that_fits_its_overlay(root: Path, page: str) -> None:
    blocks = [yaml.safe_load(each) for each in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)]
    targets = [EnvironmentSection(**each["environment"]).target for each in blocks if "environment" in each]
    found = {each.namespace: each for each in targets if isinstance(each, KubernetesTargetSection)}
    for overlay in OVERLAYS:
        manifests = built(root / FOLDER / "overlays" / overlay)
        target = found[f"towpath-{overlay}"]
        gateway = of_kind(manifests, "Deployment")["gateway"]
        most = of_kind(manifests, "HorizontalPodAutoscaler")["gateway"]["spec"]["maxReplicas"]
        assert target.most_pods == most + gateway["spec"]["strategy"]["rollingUpdate"]["maxSurge"], overlay
        assert target.port == _container(manifests, "gateway")["ports"][0]["containerPort"]
        assert of_kind(manifests, "Namespace").keys() == {target.namespace}


def test_the_policy_of_the_cluster_is_about_the_workers_of_the_overlays_whatever_their_namespaces_are_called(
    root: Path,
) -> None:
    policy, binding = load(root / FOLDER / "cluster/release-policy.yaml")
    assert binding["spec"] == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}
    assert policy["spec"]["failurePolicy"] == "Fail"
    matched = policy["spec"]["matchConstraints"]
    (rule,) = matched["resourceRules"]
    assert {"UPDATE", "CREATE"} == set(rule["operations"])
    assert {"pods", "configmaps"} == set(rule["resources"])
    (condition,) = policy["spec"]["matchConditions"]
    starts, ends = re.findall(r"username\.(?:starts|ends)With\('(.*?)'\)", condition["expression"])
    assert "towpath" not in condition["expression"]
    for overlay in OVERLAYS:
        manifests = built(root / FOLDER / "overlays" / overlay)
        (namespace,) = of_kind(manifests, "Namespace").values()
        assert selects(matched["namespaceSelector"], namespace["metadata"]["labels"])
        (bound,) = of_kind(manifests, "RoleBinding").values()
        (subject,) = bound["subjects"]
        account = f"system:serviceaccount:{subject['namespace']}:{subject['name']}"
        assert account.startswith(starts)
        assert account.endswith(ends)


def test_the_policy_of_the_cluster_leaves_the_worker_what_a_release_writes(root: Path) -> None:
    policy, _ = load(root / FOLDER / "cluster/release-policy.yaml")
    rules = policy["spec"]["validations"]
    assert open_to_workers(policy) == []
    for number, rule in enumerate(rules):
        policy["spec"]["validations"] = [*rules[:number], *rules[number + 1 :]]
        assert len(open_to_workers(policy)) == 1, rule["message"]
    policy["spec"]["validations"], variables = rules, policy["spec"]["variables"]
    for number, variable in enumerate(variables):
        policy["spec"]["variables"] = [*variables[:number], *variables[number + 1 :]]
        assert open_to_workers(policy) == ["annotations"], variable["name"]


def test_yaml_is_written_evenly(root: Path) -> None:
    tool = Path(sys.executable).with_name("yamllint")
    command = [tool, "--strict", "-c", root / "infra/yamllint.yml", root / FOLDER]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout
