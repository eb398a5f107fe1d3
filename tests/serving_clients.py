"""Clients of a gateway that serves `sum`, whose answer tells its version: ``x + 1000 * version``. Starts no gateway."""

from __future__ import annotations

import http.client
import json
import threading
import time


class Client:
    """One connection; every answer with its headers, and how long it took."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(self, x, user, **headers):
        body = json.dumps({"inputs": {"x": [x]}})
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        started = time.perf_counter()
        self.connection.request(
            "POST", "/models/sum/invocations", body, {"Content-Type": "application/json", "x-user-id": user, **headers}
        )
        response = self.connection.getresponse()
        content = response.read()
        return response.status, response.getheaders(), content, time.perf_counter() - started


def version_of(headers):
    return int(dict(headers)["x-model-version"])


def is_right(x, headers, content):
    """Whether prediction, body and header are of one version."""
    answer = json.loads(content)
    version = version_of(headers)
    return answer["model_version"] == str(version) and answer["predictions"] == [{"prediction": x + 1000.0 * version}]


class Asker(threading.Thread):
    """Ask without a pause as one user after the other, and note what does not fit together."""

    def __init__(self, port, stop):
        super().__init__(daemon=True)
        self.client = Client(port)
        self.stop = stop
        self.answers = 0
        self.wrong = []
        self.versions = set()
        self.slowest_s = 0.0

    def run(self):
        x = 0.0
        while not self.stop.is_set():
            x += 1.0
            try:
                status, headers, content, seconds = self.client.ask(x, f"user-{x:g}-{self.name}")
            except Exception as error:
                self.wrong.append(repr(error))
                return
            if status != 200 or not is_right(x, headers, content):
                self.wrong.append((status, x, headers, content))
            else:
                self.versions.add(version_of(headers))
            self.answers += 1
            self.slowest_s = max(self.slowest_s, seconds)
        self.client.connection.close()
