"""The few things that a release asks of the Kubernetes API, and what its refusals mean. Knows no model.

Every write names the `resourceVersion` that it goes out from, so that of two that read the same only one gets through
(Kubernetes API Concepts, "Resource versions"). Its verbs are those of infra/kubernetes/base/release-rbac.yaml.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from components.errors import ConfigError, ConflictError, FaultError, InfrastructureError, MissingExtraError

if TYPE_CHECKING:
    from kubernetes.client import CoreV1Api

_TIME_LIMIT_S = (3.0, 10.0)
"""To connect, and until the answer is there."""
_RETRIES = 1
"""What is sent twice harms nobody: the second time its resource version is an old one."""
_PAGE = 500


@dataclass(frozen=True)
class StoredMap:
    """A ConfigMap as it was read."""

    data: Mapping[str, str]
    resource_version: str
    """Opaque: equal or not, never more or less."""


@dataclass(frozen=True)
class Pod:
    """A pod that runs."""

    name: str
    address: str
    is_ready: bool
    """Whether services send requests there."""
    annotations: Mapping[str, str]


class KubernetesApi:
    """One namespace of a cluster; may be used from several threads.

    Raises:
        InfrastructureError: from every method, if the cluster does not answer, or forbids it.
        FaultError: from every method, if the cluster refuses what was sent.
    """

    def __init__(self, namespace: str, connect: Callable[[], CoreV1Api]) -> None:
        """Take the namespace, and what connects; nothing is asked yet."""
        self.namespace = namespace
        self._connect = connect
        self._core: CoreV1Api | None = None

    def config_map(self, name: str) -> StoredMap | None:
        """Return a ConfigMap, or None where there is none."""
        with self._asking("get", f"configmaps/{name}"):
            try:
                found = self._api.read_namespaced_config_map(name, self.namespace, _request_timeout=_TIME_LIMIT_S)
            except Exception as error:
                if getattr(error, "status", None) == HTTPStatus.NOT_FOUND:
                    return None
                raise
        return _stored(found)

    def write_config_map(self, name: str, data: Mapping[str, str], since: StoredMap | None) -> StoredMap:
        """Replace a ConfigMap as it was read, or make it where there was none.

        Raises:
            ConflictError: somebody else wrote it since; nothing was changed.
        """
        from kubernetes.client import V1ConfigMap, V1ObjectMeta

        read = None if since is None else since.resource_version
        body = V1ConfigMap(data=dict(data), metadata=V1ObjectMeta(name=name, resource_version=read))
        with self._asking("create" if since is None else "update", f"configmaps/{name}"):
            if since is None:
                made = self._api.create_namespaced_config_map(self.namespace, body, _request_timeout=_TIME_LIMIT_S)
            else:
                made = self._api.replace_namespaced_config_map(
                    name, self.namespace, body, _request_timeout=_TIME_LIMIT_S
                )
        return _stored(made)

    def running_pods(self, selector: str) -> tuple[Pod, ...]:
        """Return the pods with these labels that run and are not being ended, by name."""
        found: list[Pod] = []
        more = None
        while True:
            with self._asking("list", "pods"):
                page = self._api.list_namespaced_pod(
                    self.namespace,
                    label_selector=selector,
                    limit=_PAGE,
                    _continue=more,
                    _request_timeout=_TIME_LIMIT_S,
                )
            found += [_pod(each) for each in page.items if _runs(each)]
            more = page.metadata._continue if page.metadata else None
            if not more:
                return tuple(sorted(found, key=lambda pod: pod.name))

    def annotate_pod(self, pod: Pod, name: str, value: str) -> None:
        """Set one annotation of a pod, unless the pod is gone or somebody changes it all the time."""
        body = {"metadata": {"annotations": {name: value}}}
        with suppress(_GoneError, ConflictError), self._asking("patch", f"pods/{pod.name}"):
            self._api.patch_namespaced_pod(pod.name, self.namespace, body, _request_timeout=_TIME_LIMIT_S)

    @property
    def _api(self) -> CoreV1Api:
        if self._core is None:
            self._core = self._connect()
        return self._core

    @contextmanager
    def _asking(self, verb: str, what: str) -> Iterator[None]:
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        try:
            yield
        except ApiException as error:
            raise self._meaning(verb, what, error.status or 0, _message(error.body)) from error
        except (HTTPError, OSError) as error:
            raise InfrastructureError(
                f"the Kubernetes API does not answer ({type(error).__name__}: {str(error)[:200]}); pods serve on, and "
                "nothing can be released until it does"
            ) from error

    def _meaning(self, verb: str, what: str, status: int, said: str) -> Exception:
        where = f"{what} in namespace {self.namespace}"
        if status == HTTPStatus.CONFLICT:
            return ConflictError(f"{where} was written by somebody else meanwhile; nothing was changed")
        if status == HTTPStatus.NOT_FOUND:
            return _GoneError(f"{where} is not there: {said}")
        if status == HTTPStatus.FORBIDDEN:
            kind = what.partition("/")[0]
            return InfrastructureError(
                f"the verb `{verb}` on `{kind}` is forbidden here ({said}); grant it to the account that releases in "
                f"{self.namespace}, as infra/kubernetes/base/release-rbac.yaml does"
            )
        if status == HTTPStatus.UNAUTHORIZED:
            return InfrastructureError(f"the Kubernetes API does not know who asks ({said}); log in to it again")
        if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR or not status:
            return InfrastructureError(f"the Kubernetes API could not {verb} {where}: {status} {said}; try again")
        return FaultError(f"the Kubernetes API refuses to {verb} {where}: {status} {said}")


class _GoneError(FaultError):
    """Something is not there any more."""


def connect(context: str | None) -> Callable[[], CoreV1Api]:
    """Return what connects to a cluster: the one this runs in, or a context of the user's kubeconfig.

    Args:
        context: The context's name; None means the cluster in which this process runs.
    """

    def core() -> CoreV1Api:
        try:
            from kubernetes import client, config
        except ImportError:
            lacking = "a target of kind `kubernetes` needs its client, not installed here"
            raise MissingExtraError.of(lacking, "kubernetes") from None
        settings = client.Configuration()
        try:
            if context is None:
                config.load_incluster_config(client_configuration=settings)
            else:
                config.load_kube_config(context=context, client_configuration=settings)
        except config.ConfigException as error:
            where = "in a pod with a service account" if context is None else f"with context `{context}`"
            raise ConfigError(
                f"cannot connect to a cluster {where}: {error}; outside of the cluster `target.context` names a context"
            ) from error
        settings.retries = _RETRIES
        return client.CoreV1Api(client.ApiClient(settings))

    return core


def _stored(found: Any) -> StoredMap:
    return StoredMap(found.data or {}, found.metadata.resource_version)


def _runs(pod: Any) -> bool:
    """Return whether a pod answers, or will: not one that is being ended, which still answers what it took."""
    return pod.metadata.deletion_timestamp is None and pod.status.phase == "Running" and bool(pod.status.pod_ip)


def _pod(found: Any) -> Pod:
    ready = {each.type: each.status for each in found.status.conditions or ()}.get("Ready") == "True"
    metadata = found.metadata
    return Pod(metadata.name, found.status.pod_ip, ready, metadata.annotations or {})


def _message(body: Any) -> str:
    """Return the sentence of a `Status` object, which every refusal of the API is."""
    import json

    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body or "")
    try:
        return str(json.loads(text)["message"])[:400]
    except (ValueError, KeyError, TypeError):
        return " ".join(text.split())[:200]
