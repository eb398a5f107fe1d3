"""A connection to MLflow, the one place where it is first imported. Knows nothing of runs or versions."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from components.errors import ConfigError, FaultError, InfrastructureError, UnknownNameError

if TYPE_CHECKING:
    from mlflow import MlflowClient

_ALWAYS: Mapping[str, str] = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_RETRIES, _TIMEOUT = "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"
_BY_DEFAULT: Mapping[str, str] = {
    _RETRIES: "4",  # about 30 s; MLflow's own default keeps a dead server's caller 4 minutes
    _TIMEOUT: "60",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}
_MOST = 0.9
"""A request that ran into its limit took about as long: two clocks differ by a little."""


class _Limit:
    """How long MLflow may keep callers who have more urgent things to do; none outside of `time_limit`."""

    def __init__(self) -> None:
        """Begin without a limit."""
        self._lock = threading.Lock()
        self._depth = 0
        self._seconds = 0
        self._before: dict[str, str] = {}
        self._lost_s: dict[str, float] = {}

    def enter(self, seconds: int) -> None:
        """Set MLflow's variables; within a limit the outer one holds."""
        with self._lock:
            self._depth += 1
            if self._depth > 1:
                return
            _set_defaults()
            self._seconds, self._lost_s = seconds, {}
            self._before = {name: os.environ[name] for name in (_RETRIES, _TIMEOUT)}
            os.environ[_RETRIES] = "0"
            if not self._before[_TIMEOUT].isdecimal() or int(self._before[_TIMEOUT]) > seconds:
                os.environ[_TIMEOUT] = str(seconds)

    def leave(self) -> None:
        """Put back what was set before the outermost limit."""
        with self._lock:
            self._depth -= 1
            if self._depth == 0:
                os.environ.update(self._before)

    def require_patience(self, what: str, uri: str) -> None:
        """Refuse to ask an MLflow again that has used up the time of this limit without answering."""
        with self._lock:
            in_vain = self._depth > 0 and self._lost_s.get(uri, 0.0) >= _MOST * self._seconds
        if in_vain:
            raise InfrastructureError(
                f"{what}: MLflow at {uri} did not answer within {self._seconds} s and is not asked again this time; "
                "is it running?"
            )

    def lost(self, uri: str, seconds: float) -> None:
        """Count the time of a request that failed."""
        with self._lock:
            if self._depth > 0:
                self._lost_s[uri] = self._lost_s.get(uri, 0.0) + seconds


_LIMIT = _Limit()


@contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    """Keep MLflow servers from holding up a block: no retries, and not asked again once `seconds` went by in vain.

    The limit is this process's, because MLflow reads it from environment variables with every request: whatever else
    asks a server meanwhile gets it, too. A request that is answered, however slowly, goes on for as long as its parts
    keep coming within `seconds`.
    """
    _LIMIT.enter(seconds)
    try:
        yield
    finally:
        _LIMIT.leave()


class Connection:
    """A client and the address that it talks to; may be used from several threads."""

    def __init__(self, uri: str, client: MlflowClient) -> None:
        """Keep both."""
        self.uri = uri
        self.client = client

    @property
    def is_server(self) -> bool:
        """Whether a server is asked, rather than a database in this process."""
        return self.uri.startswith(("http://", "https://"))

    @contextmanager
    def translated(self, what: str) -> Iterator[None]:
        """Turn MLflow's errors into sentences.

        Args:
            what: What is being done, for the message: ``registering taxi``.

        Raises:
            UnknownNameError: what was asked for does not exist.
            InfrastructureError: the server, its database or its files cannot be reached.
            FaultError: MLflow refused the request.
        """
        from mlflow.exceptions import MlflowException

        _LIMIT.require_patience(what, self.uri)
        begun = time.monotonic()
        try:
            yield
        except MlflowException as error:
            words = " ".join(str(error).split())[:300]
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                raise UnknownNameError(f"{what}: MLflow at {self.uri} says: {words}") from error
            if error.error_code in {"INVALID_PARAMETER_VALUE", "RESOURCE_ALREADY_EXISTS", "INVALID_STATE"}:
                raise FaultError(f"{what}: MLflow at {self.uri} refused: {words}") from error
            _LIMIT.lost(self.uri, time.monotonic() - begun)
            raise InfrastructureError(f"{what}: MLflow at {self.uri} failed: {words}; is it running?") from error
        except OSError as error:  # requests' own errors among them
            _LIMIT.lost(self.uri, time.monotonic() - begun)
            words = " ".join(str(error).split())[:300]
            raise InfrastructureError(f"{what}: MLflow at {self.uri} cannot be reached: {words}") from error


def connect(uri: str) -> Connection:
    """Return a connection; a database behind ``sqlite:///`` is made when it is first used.

    Raises:
        ConfigError: the address is of a kind that is not supported.
    """
    if not uri.startswith(("http://", "https://", "sqlite:///", "postgresql")):
        raise ConfigError(f"MLflow's address {uri!r} is not supported; expected http(s)://… or sqlite:///<path>")
    if uri.startswith("sqlite:///"):
        Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    os.environ.update(_ALWAYS)
    _set_defaults()
    from mlflow import MlflowClient

    return Connection(uri, MlflowClient(tracking_uri=uri, registry_uri=uri))


def _set_defaults() -> None:
    for name, value in _BY_DEFAULT.items():
        os.environ.setdefault(name, value)
