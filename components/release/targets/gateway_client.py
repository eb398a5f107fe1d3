"""Ask a gateway what it serves and what happened there. Knows its two release routes, and no router file."""

from __future__ import annotations

import http.client
import json
from typing import TypeVar
from urllib.parse import urlencode, urlsplit

from components.errors import InfrastructureError
from components.types import record
from components.types.judging import GatewayStatus, Health
from components.types.release import Role

ANSWER_BYTES = 16 * 1_048_576
_TIME_LIMIT_S = 5.0

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
        parts = urlsplit(self._url)
        connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = connect(parts.netloc, timeout=self._time_limit_s)
        try:
            connection.request("GET", path, headers=self._headers())
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
