"""A stand-in for a cluster: recorded API answers on loopback, and kubelets that look only when they are told to.

It keeps the rules on which fencing rests: every write has a new resource version, and a replacement that names an old
one is a conflict. A kubelet of its own accord would look within a minute or so; this one never does.
"""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from kubernetes.client import ApiClient, Configuration, CoreV1Api

ANSWERS = Path(__file__).parent / "kubernetes_answers"
POD = json.loads((ANSWERS / "pod.json").read_text())
REFUSALS: dict[str, dict[str, Any]] = json.loads((ANSWERS / "refusals.json").read_text())
NAMESPACE = "towpath-staging"
MERGES = ("application/strategic-merge-patch+json", "application/merge-patch+json")

Deliver = Callable[[str, dict[str, str]], None]
"""Takes a ConfigMap's name and content: what its files now hold."""


class StandIn:
    """One namespace with ConfigMaps and pods."""

    def __init__(self) -> None:
        self.maps: dict[str, dict[str, Any]] = {}
        self.pods: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, str]] = []
        """Verb and resource, as RBAC calls them."""
        self.refuse: Callable[[str, str], str | None] = lambda verb, resource: None
        """Says with which recorded refusal a request is answered."""
        self.before_update: Callable[[], object] = lambda: None
        """Called once before the next replacement: somebody who is faster."""
        self.overtaken = False
        """Whether the next word to a kubelet comes before the ConfigMap does."""
        self._kubelets: dict[str, Deliver] = {}
        self._version = 1000
        self._lock = threading.RLock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def connect(self) -> CoreV1Api:
        settings = Configuration(host=f"http://127.0.0.1:{self._server.server_port}")
        settings.retries = 0
        return CoreV1Api(ApiClient(settings))

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def add_pod(self, name: str, address: str, kubelet: Deliver = lambda name, data: None) -> dict[str, Any]:
        pod = copy.deepcopy(POD)
        pod["metadata"] |= {"name": name, "uid": f"uid-of-{name}"}
        pod["status"] |= {"podIP": address, "podIPs": [{"ip": address}]}
        with self._lock:
            self.pods[name] = self._versioned(pod)
            self._kubelets[name] = kubelet
        return pod

    def data(self, name: str) -> dict[str, str]:
        with self._lock:
            return dict(self.maps.get(name, {}).get("data", {}))

    def write(self, name: str, data: dict[str, str]) -> None:
        """Write as somebody else."""
        with self._lock:
            body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": NAMESPACE}}
            self.maps[name] = self._versioned(body | {"data": dict(data)})

    def _versioned(self, found: dict[str, Any]) -> dict[str, Any]:
        self._version += 1
        found["metadata"]["resourceVersion"] = str(self._version)
        return found

    def _answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, dict[str, Any]]:
        assert path.startswith(f"/api/v1/namespaces/{NAMESPACE}/"), path
        kind, _, name = path.removeprefix(f"/api/v1/namespaces/{NAMESPACE}/").partition("/")
        verbs = {"GET": "get" if name else "list", "POST": "create", "PUT": "update", "PATCH": "patch"}
        verb = verbs[method]
        self.asked.append((verb, kind))
        if (why := self.refuse(verb, kind)) is not None:
            return REFUSALS[why]["code"], REFUSALS[why]
        if verb == "update":
            before, self.before_update = self.before_update, lambda: None
            before()
        with self._lock:
            handler = {"configmaps": self._config_map, "pods": self._pod}[kind]
            return handler(verb, name, query, body)

    def _config_map(self, verb: str, name: str, query: Any, body: Any) -> tuple[int, dict[str, Any]]:
        if verb == "create":
            name = body["metadata"]["name"]
            if name in self.maps:
                return 409, REFUSALS["exists"]
        elif name not in self.maps:
            return 404, REFUSALS["not-found"]
        read = (body or {}).get("metadata", {}).get("resourceVersion")  # who names none writes over whatever is there
        if verb == "update" and read not in (None, self.maps[name]["metadata"]["resourceVersion"]):
            return 409, REFUSALS["conflict"]
        if verb != "get":
            self.write(name, body.get("data") or {})
        return (201 if verb == "create" else 200), self.maps[name]

    def _pod(self, verb: str, name: str, query: dict[str, list[str]], body: Any) -> tuple[int, dict[str, Any]]:
        if verb == "patch":
            if name not in self.pods:
                return 404, REFUSALS["not-found"]
            annotations = self.pods[name]["metadata"]["annotations"]
            changed = body["metadata"]["annotations"].items() - annotations.items()
            annotations.update(body["metadata"]["annotations"])
            if changed:  # a kubelet hears of changes alone
                self._look(name)
            return 200, self._versioned(self.pods[name])
        assert query["labelSelector"] == ["app.kubernetes.io/name=gateway"]
        pods, limit = sorted(self.pods.items()), int(query["limit"][0])
        start = int(query.get("continue", ["0"])[0])
        metadata = {"resourceVersion": str(self._version)}
        if start + limit < len(pods):
            metadata["continue"] = str(start + limit)
        items = [pod for _, pod in pods[start : start + limit]]
        return 200, {"apiVersion": "v1", "kind": "PodList", "metadata": metadata, "items": items}

    def _look(self, pod: str) -> None:
        """Let a kubelet renew a pod's files; where the word came before the ConfigMap, it finds nothing new."""
        if self.overtaken:
            self.overtaken = False
            return
        for name, found in self.maps.items():
            self._kubelets[pod](name, dict(found["data"]))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 65_536  # head and body in one packet

            def _reply(self) -> None:
                parts = urlsplit(self.path)
                content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                body = json.loads(content) if content else None
                if self.command == "PATCH":  # a mapping is no list of JSON-patch operations
                    assert self.headers["Content-Type"] in MERGES, self.headers["Content-Type"]
                status, answer = stand_in._answer(self.command, parts.path, parse_qs(parts.query), body)
                text = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PUT = do_PATCH = _reply  # noqa: N815 - http.server's names

            def log_message(self, *arguments: Any) -> None:
                pass

        return Handler
