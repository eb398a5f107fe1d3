"""Ask a gateway what it serves, what happened there, and what a version of it answers. Knows no router file."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Sequence
from itertools import cycle, islice
from typing import TypeVar
from urllib.parse import urlencode, urlsplit

from components.errors import InfrastructureError
from components.release.protocol import Answer
from components.types import record
from components.types.judging import GatewayStatus, Health
from components.types.release import Role

ANSWER_BYTES = 16 * 1_048_576
_TIME_LIMIT_S = 5.0
_JSON = {"Content-Type": "application/json"}
_ANSWER_S = 10.0
"""Longer than a gateway lets a version compute, so that it is the gateway that says so."""
_ASKING_S = 15.0
"""For all requests together."""
_FOR_EACH_WORKER = 12
"""So many connections for each of several workers: one is left out once in 160,000 times (e^-12)."""

T = TypeVar("T")


class GatewayClient:
    """Talk to one gateway, one connection a question: which worker answers does not matter, they share what they know.

    Raises:
        InfrastructureError: from every method, if the gateway does not answer, or not as one does.
    """

    def __init__(self, url: str, token: str | None = None, time_limit_s: float = _TIME_LIMIT_S) -> None:
        """Take where it listens, and the token that it wants, if any."""
        self._url = url
        self._token = token
        self._time_limit_s = time_limit_s

    def status(self) -> GatewayStatus:
        """Return what its workers serve, and what its judges know."""
        return self._record(GatewayStatus, "/release/status", *self._get("/release/status"))

    def health(self, model: str, role: Role, window_s: float) -> Health | None:
        """Return what happened to a role's requests in the last `window_s` seconds; None for a model unknown there."""
        query = urlencode({"model": model, "role": role.value, "window_s": f"{window_s:g}"})
        path = f"/release/health?{query}"
        status, body = self._get(path)
        return None if status == http.HTTPStatus.NOT_FOUND else self._record(Health, path, status, body)

    def ask_workers(self, model: str, version: int, requests: Sequence[bytes]) -> list[Answer]:
        """Return what its workers answer for one version, whatever the split says.

        Each request is put on a connection of its own, which the kernel gives to some worker. Where there are several,
        it goes on from the first request again until hardly one of them can have got none.
        """
        workers = len(self.status().workers)
        count = max(len(requests), _FOR_EACH_WORKER * workers if workers > 1 else 0)
        path, end_s = f"/v2/models/{model}/versions/{version}/infer", time.monotonic() + _ASKING_S
        asked = islice(cycle(enumerate(requests)), count)
        return [self._answer(path, number, body, end_s - time.monotonic()) for number, body in asked]

    def _answer(self, path: str, number: int, body: bytes, left_s: float) -> Answer:
        if left_s <= 0:
            return Answer(number, 0, b"no time was left to ask")
        try:
            return Answer(number, *self._send("POST", path, min(left_s, _ANSWER_S), body))
        except InfrastructureError as error:  # this one request's: a version may take its worker along
            return Answer(number, 0, str(error).encode())

    def _record(self, kind: type[T], path: str, status: int, body: bytes) -> T:
        if status != http.HTTPStatus.OK:
            words = body.decode("utf-8", "replace")[:200]
            raise InfrastructureError(f"the gateway at {self._url} answered {status} to {path}: {words}")
        try:
            return record.load(kind, json.loads(body))
        except ValueError as error:
            raise InfrastructureError(
                f"the gateway at {self._url} answered {path} with something else than a {kind.__name__} ({error}); "
                "restart it, so that it is of the same version as this program"
            ) from error

    def _get(self, path: str) -> tuple[int, bytes]:
        return self._send("GET", path, self._time_limit_s)

    def _send(self, method: str, path: str, time_limit_s: float, content: bytes | None = None) -> tuple[int, bytes]:
        parts = urlsplit(self._url)
        connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = connect(parts.netloc, timeout=time_limit_s)
        try:
            connection.request(method, path, content, {**_JSON, **self._headers()} if content else self._headers())
            response = connection.getresponse()
            body = response.read(ANSWER_BYTES)
        except (OSError, http.client.HTTPException) as error:
            reason = str(error) or type(error).__name__
            raise InfrastructureError(f"the gateway at {self._url} does not answer: {reason}") from error
        finally:
            connection.close()
        if response.status == http.HTTPStatus.UNAUTHORIZED:
            raise InfrastructureError(
                f"the gateway at {self._url} wants another token; set TOWPATH_GATEWAY_TOKEN to the one it runs with"
            )
        return response.status, body

    def _headers(self) -> dict[str, str]:
        return {} if self._token is None else {"Authorization": f"Bearer {self._token}"}
