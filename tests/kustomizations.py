"""Builds a kustomization from the few features that infra/kubernetes uses; any other is an error. Checks nothing."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]

CLUSTER_WIDE = frozenset({"Namespace", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"})
_KNOWN = frozenset({"apiVersion", "kind", "resources", "namespace", "patches", "images"})


def build(folder: Path) -> list[Manifest]:
    """Return the manifests of a kustomization, as `kubectl kustomize` would."""
    content = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert content.keys() <= _KNOWN, f"{folder}: {content.keys() - _KNOWN} is nothing that this builds"
    found: list[Manifest] = []
    for name in content["resources"]:
        path = folder / name
        found += build(path) if path.is_dir() else load(path)
    for each in content.get("patches", ()):
        assert each.keys() == {"path"}, each
        for patch in load(folder / each["path"]):
            (target,) = (manifest for manifest in found if name_of(manifest) == name_of(patch))
            target.update(merged(target, patch))
    if namespace := content.get("namespace"):
        for manifest in found:
            _place(manifest, namespace)
    for image in content.get("images", ()):
        for container in (each for manifest in found for each in containers(manifest)):
            _rename(container, image)
    return found


def load(path: Path) -> list[Manifest]:
    return [each for each in yaml.safe_load_all(path.read_text()) if each]


def name_of(manifest: Manifest) -> tuple[str, str]:
    return manifest["kind"], manifest["metadata"]["name"]


def containers(manifest: Manifest) -> Iterator[dict[str, Any]]:
    """Yield the containers of a Deployment, those that prepare it first; nothing of another kind."""
    if manifest["kind"] == "Deployment":
        pod = manifest["spec"]["template"]["spec"]
        yield from (*pod.get("initContainers", ()), *pod["containers"])


def merged(base: Any, patch: Any) -> Any:
    """Return a strategic merge: mappings by key, lists of named things by name, anything else is replaced."""
    if isinstance(base, dict) and isinstance(patch, dict):
        found = {key: merged(base.get(key), value) for key, value in patch.items() if value is not None}
        return {key: value for key, value in base.items() if key not in patch} | found
    if isinstance(base, list) and isinstance(patch, list) and all("name" in each for each in (*base, *patch)):
        patches = {each["name"]: each for each in patch}
        kept = [merged(each, patches.pop(each["name"], {})) for each in base]
        return [*kept, *copy.deepcopy(list(patches.values()))]
    return copy.deepcopy(patch)


def _place(manifest: Manifest, namespace: str) -> None:
    if manifest["kind"] not in CLUSTER_WIDE:
        manifest["metadata"]["namespace"] = namespace
    for subject in manifest.get("subjects", ()):
        subject["namespace"] = namespace


def _rename(container: dict[str, Any], image: dict[str, str]) -> None:
    assert image.keys() <= {"name", "newName", "newTag", "digest"}
    name, _, tag = re.sub(r"@.*", "", container["image"]).rpartition(":")
    if name == image["name"]:
        version = f"@{image['digest']}" if "digest" in image else f":{image.get('newTag', tag)}"
        container["image"] = image.get("newName", name) + version
