"""A client of one gateway: one connection kept open, one row a request. Knows no model and judges no answer."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

_SAID_BYTES = 200


@dataclass(frozen=True)
class Reply:
    """What became of one request."""

    status: int
    """0 where there was no answer at all."""
    seconds: float
    outputs: Mapping[str, Any] = field(default_factory=dict)
    """``prediction``: a value; ``probabilities``: a list. Empty where the answer is not a valid one."""
    request_id: str = ""
    version: str = ""
    """The version that answered, as the gateway says."""
    said: str = ""
    """The beginning of an answer that is not a valid one."""

    @property
    def valid(self) -> bool:
        """Whether it is an answer that a client can use."""
        return self.status == 200 and "prediction" in self.outputs


class Client:
    """One connection; opened again after an error. For one thread."""

    def __init__(self, url: str, token: str | None = None, timeout_s: float = 10.0) -> None:
        """Remember where to connect to."""
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=timeout_s)
        self._headers = {"Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    def __enter__(self) -> Self:
        """Return the client; it connects with its first request."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self._connection.close()

    def post(self, path: str, body: bytes, headers: Mapping[str, str] = {}) -> tuple[int, bytes, Mapping[str, str]]:
        """Return status, body and headers (in lower case) of an answer; status 0 where there was none."""
        try:
            self._connection.request("POST", path, body, {**self._headers, **headers})
            response = self._connection.getresponse()
            headed = {name.lower(): value for name, value in response.headers.items()}
            return response.status, response.read(), headed
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return 0, b"", {}

    def infer(self, path: str, body: bytes, headers: Mapping[str, str] = {}) -> Reply:
        """Ask for the prediction of one row."""
        begun = time.perf_counter()
        status, content, answered = self.post(path, body, headers)
        seconds = time.perf_counter() - begun
        outputs = outputs_of(content) if status == 200 else {}
        return Reply(
            status,
            seconds,
            outputs,
            answered.get("x-request-id") or "",
            answered.get("x-model-version") or "",
            "" if outputs else content[:_SAID_BYTES].decode(errors="replace"),
        )


def outputs_of(content: bytes) -> dict[str, Any]:
    """Return the outputs of one row by name; nothing where the body is not such an answer."""
    try:
        outputs = {each["name"]: each["data"] for each in json.loads(content)["outputs"]}
        return {"prediction": outputs["prediction"][0]} | (
            {"probabilities": list(outputs["probabilities"])} if "probabilities" in outputs else {}
        )
    except (ValueError, KeyError, IndexError, TypeError):
        return {}
