"""The rules of the house for manifests of Kubernetes, and what of them refers to nothing. Knows no file.

A rule returns sentences; where there are none, all is well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from components.release.targets.kubernetes_pods import ANNOTATION
from components.release.targets.kubernetes_router import KILL_MAP, ROUTER_MAP
from tests.kustomizations import Manifest, containers, name_of

WRITES_ITS_FILES = {"worker": "works in its own checkout, and `.git` is in its image"}
FROM_CODE = {("ConfigMap", ROUTER_MAP), ("ConfigMap", KILL_MAP)}
"""What no manifest has, because a release writes it: `apply` would put it back."""

CROSSINGS = {
    ("towpath-staging", "ingress", "mlflow"): ("towpath-production", "worker"),
    ("towpath-production", "egress", "worker"): ("towpath-staging", "mlflow"),
}
"""The one way between namespaces, seen from both ends. None leads into production: code of users runs in staging."""


def of_kind(manifests: list[Manifest], kind: str) -> dict[str, Manifest]:
    return {each["metadata"]["name"]: each for each in manifests if each["kind"] == kind}


def pod_of(deployment: Manifest) -> dict[str, Any]:
    found: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return found


def labels_of(deployment: Manifest) -> dict[str, str]:
    found: dict[str, str] = deployment["spec"]["template"]["metadata"]["labels"]
    return found


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    expressions = selector.get("matchExpressions", ())
    assert all(each["operator"] == "In" for each in expressions)
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(each["key"]) in each["values"] for each in expressions
    )


def problems(manifests: list[Manifest]) -> list[str]:
    """Return what of the manifests breaks a rule of the house; nothing where all is well."""
    deployments = of_kind(manifests, "Deployment")
    found = []
    for name, deployment in deployments.items():
        found += [f"{name}: {each}" for each in (*_of_pod(deployment), *_of_containers(deployment))]
        labels = labels_of(deployment)
        budgets = of_kind(manifests, "PodDisruptionBudget").values()
        if sum(selects(each["spec"]["selector"], labels) for each in budgets) != 1:
            found.append(f"{name}: has not one PodDisruptionBudget")
        policies = of_kind(manifests, "NetworkPolicy").values()
        if not any(each["spec"]["podSelector"] and selects(each["spec"]["podSelector"], labels) for each in policies):
            found.append(f"{name}: no NetworkPolicy says what it may")
    return [*found, *_of_network(manifests), *_crossings(manifests), *_ways_out(manifests), *_missing(manifests)]


def _of_pod(deployment: Manifest) -> Iterator[str]:
    pod, name = pod_of(deployment), deployment["metadata"]["name"]
    bounds = pod.get("securityContext", {})
    if not (bounds.get("runAsNonRoot") is True and bounds.get("runAsUser") == 10001):
        yield "may run as root"
    if bounds.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "has no seccomp profile"
    if pod.get("enableServiceLinks") is not False:
        yield "gets services as variables, of which programs read some as their own"
    if pod.get("automountServiceAccountToken") is not (name == "worker"):
        yield "has the cluster's token, or lacks it"
    if not selects(deployment["spec"]["selector"], labels_of(deployment)):
        yield "selects other pods than its own"


def _of_containers(deployment: Manifest) -> Iterator[str]:
    name = deployment["metadata"]["name"]
    for each in containers(deployment):
        where, bounds = each["name"], each.get("securityContext", {})
        sizes = each.get("resources", {})
        for part in ("requests", "limits"):
            if sizes.get(part, {}).keys() != {"cpu", "memory"}:
                yield f"{where} has no {part}"
        if bounds.get("allowPrivilegeEscalation") is not False or bounds.get("capabilities") != {"drop": ["ALL"]}:
            yield f"{where} has powers"
        if bounds.get("readOnlyRootFilesystem") is not True and name not in WRITES_ITS_FILES:
            yield f"{where} may write its root file system"
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)+(:[\w.-]*\d[\w.-]*|@sha256:[0-9a-f]{64})", each["image"]):
            yield f"{where}: {each['image']} is not pinned"
    for each in pod_of(deployment)["containers"]:
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            if probe not in each:
                yield f"{each['name']} has no {probe}"


def _of_network(manifests: list[Manifest]) -> Iterator[str]:
    policies = of_kind(manifests, "NetworkPolicy").values()
    shut = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    if shut not in [each["spec"] for each in policies]:
        yield "nothing is denied by default"
    pods = of_kind(manifests, "Deployment")
    for each in policies:
        spec = each["spec"]
        peers = [peer for way in ("ingress", "egress") for rule in spec.get(way, ()) for peer in _peers(rule)]
        ours = [peer["podSelector"] for peer in peers if "k8s-app" not in str(peer) and "podSelector" in peer]
        for selector in (spec["podSelector"], *ours):
            wanted = [key for part in selector.get("matchExpressions", ()) for key in part["values"]]
            wanted += list(selector.get("matchLabels", {}).values())
            if strange := sorted(set(wanted) - pods.keys()):
                yield f"NetworkPolicy {each['metadata']['name']} is about pods that are not there: {strange}"


def _crossings(manifests: list[Manifest]) -> Iterator[str]:
    """Yield what a policy lets through between namespaces; the gateway's door is open to whom its policy names."""
    (here,) = of_kind(manifests, "Namespace")
    for name, policy in of_kind(manifests, "NetworkPolicy").items():
        who = policy["spec"]["podSelector"].get("matchLabels", {}).get("app.kubernetes.io/name")
        for way in ("ingress", "egress"):
            if (way, who) == ("ingress", "gateway"):
                continue
            rules = policy["spec"].get(way, ())
            if way == "ingress" and not all(_peers(rule) for rule in rules):
                yield f"NetworkPolicy {name} admits everybody"
            there = _peer(*CROSSINGS.get((here, way, who), ("", "")))
            for peer in (each for rule in rules for each in _peers(rule) if "k8s-app" not in str(each)):
                if peer.keys() != {"podSelector"} and peer != there:
                    yield f"NetworkPolicy {name} opens {way} of {who} in {here} to {peer}"


def _peer(namespace: str, pod: str) -> dict[str, Any]:
    return {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": pod}},
    }


def _ways_out(manifests: list[Manifest]) -> Iterator[str]:
    """Yield where a policy lets pods speak to a port of ours on which nobody listens."""
    pods = of_kind(manifests, "Deployment").values()
    for policy in of_kind(manifests, "NetworkPolicy").values():
        for rule in policy["spec"].get("egress", ()):
            ours = [peer["podSelector"] for peer in _peers(rule) if "k8s-app" not in str(peer)]
            for selector in ours:
                heard = {
                    port["containerPort"]
                    for pod in pods
                    if selects(selector, labels_of(pod))
                    for each in containers(pod)
                    for port in each.get("ports", ())
                }
                if strange := sorted({str(each["port"]) for each in rule["ports"] if each["port"] not in heard}):
                    yield f"NetworkPolicy {policy['metadata']['name']}: nobody listens at {strange}"


def _peers(rule: dict[str, Any]) -> list[dict[str, Any]]:
    return [*rule.get("from", ()), *rule.get("to", ())]


def _missing(manifests: list[Manifest]) -> Iterator[str]:
    there = {name_of(each) for each in manifests} | FROM_CODE
    for name, deployment in of_kind(manifests, "Deployment").items():
        pod = pod_of(deployment)
        volumes = {each["name"]: each for each in pod["volumes"]}
        wanted = {("ServiceAccount", pod["serviceAccountName"])}
        wanted |= {("ConfigMap", each["configMap"]["name"]) for each in volumes.values() if "configMap" in each}
        claims = [each["persistentVolumeClaim"] for each in volumes.values() if "persistentVolumeClaim" in each]
        wanted |= {("PersistentVolumeClaim", each["claimName"]) for each in claims}
        yield from (f"{name}: there is no {kind} {of}" for kind, of in sorted(wanted - there))
        for container in containers(deployment):
            mounted = {each["name"] for each in container["volumeMounts"]}
            yield from (f"{name}: there is no volume {each}" for each in sorted(mounted - volumes.keys()))
            yield from (f"{name}: {each}" for each in _missing_keys(container, manifests))
            ports = {each["name"] for each in container.get("ports", ())}
            probes = [container.get(f"{each}Probe", {}).get("httpGet") for each in ("startup", "liveness", "readiness")]
            yield from (f"{name}: no port {each['port']}" for each in probes if each and each["port"] not in ports)
    yield from _missing_targets(manifests)


def _missing_keys(container: dict[str, Any], manifests: list[Manifest]) -> Iterator[str]:
    maps = of_kind(manifests, "ConfigMap")
    for variable in container.get("env", ()):
        key = variable.get("valueFrom", {}).get("configMapKeyRef")
        if key and key["key"] not in maps.get(key["name"], {}).get("data", {}):
            yield f"ConfigMap {key['name']} has no key {key['key']}"
    for mount in container["volumeMounts"]:
        if (key := mount.get("subPath")) and mount["name"] in maps and key not in maps[mount["name"]]["data"]:
            yield f"ConfigMap {mount['name']} has no key {key}"


def _missing_targets(manifests: list[Manifest]) -> Iterator[str]:
    deployments = of_kind(manifests, "Deployment")
    for name, service in of_kind(manifests, "Service").items():
        served = [
            each
            for each in deployments.values()
            if selects({"matchLabels": service["spec"]["selector"]}, labels_of(each))
        ]
        ports = {port["name"] for each in served for one in containers(each) for port in one.get("ports", ())}
        if not {each["targetPort"] for each in service["spec"]["ports"]} <= ports:
            yield f"Service {name} leads nowhere"
    for ingress in of_kind(manifests, "Ingress").values():
        for path in (each for rule in ingress["spec"]["rules"] for each in rule["http"]["paths"]):
            backend = path["backend"]["service"]
            service = of_kind(manifests, "Service").get(backend["name"], {"spec": {"ports": []}})
            if backend["port"]["name"] not in {each["name"] for each in service["spec"]["ports"]}:
                yield f"Ingress leads to {backend['name']}, which is not there"
    for scaler in of_kind(manifests, "HorizontalPodAutoscaler").values():
        if "replicas" in deployments[scaler["spec"]["scaleTargetRef"]["name"]]["spec"]:
            yield "what is scaled has a number of replicas, which every `apply` would put back"
    for binding in of_kind(manifests, "RoleBinding").values():
        there = {name_of(each) for each in manifests}
        wanted = {("Role", binding["roleRef"]["name"])} | {(each["kind"], each["name"]) for each in binding["subjects"]}
        yield from (f"RoleBinding is about {kind} {name}" for kind, name in wanted - there)


def open_to_workers(policy: Manifest) -> list[str]:
    """Return what an admission policy lets a worker change that no release does; nothing where all is well.

    Expressions are compared as they are written, for nothing here can evaluate them: an equal one, written in another
    way, counts as missing.
    """
    written = {_one_line(each["expression"]) for each in policy["spec"]["validations"]}
    variables = {each["name"]: _one_line(each["expression"]) for each in policy["spec"].get("variables", ())}
    pods = "request.resource.resource != 'pods' || "
    wanted = {
        "pods": pods + "request.operation == 'UPDATE'",
        "spec": pods + "(request.operation == 'UPDATE' && object.spec == oldObject.spec)",
        "annotations": _ANNOTATIONS.replace("PREFIX", ANNOTATION),
        "configmaps": "request.resource.resource != 'configmaps' || "
        f"object.metadata.name in ['{ROUTER_MAP}', '{KILL_MAP}']",
    }
    for field, empty in (("labels", "{}"), ("ownerReferences", "[]"), ("finalizers", "[]")):
        wanted[field] = (
            f"{pods}(request.operation == 'UPDATE' && ({_either('object', field, empty)})"
            f" == ({_either('oldObject', field, empty)}))"
        )
    missing = [name for name, expression in wanted.items() if expression not in written]
    known = {"annotations": "object", "oldAnnotations": "oldObject"}
    if variables != {name: _either(of, "annotations", "{}") for name, of in known.items()}:
        missing.append("annotations")
    return missing


_ANNOTATIONS = (
    "request.resource.resource != 'pods' || (request.operation == 'UPDATE'"
    " && variables.annotations.all(key, key.startsWith('PREFIX')"
    " || (key in variables.oldAnnotations && variables.annotations[key] == variables.oldAnnotations[key]))"
    " && variables.oldAnnotations.all(key, key.startsWith('PREFIX') || key in variables.annotations))"
)


def _either(of: str, field: str, empty: str) -> str:
    return f"has({of}.metadata.{field}) ? {of}.metadata.{field} : {empty}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
