"""A connection to MLflow, the one place where it is first imported. Knows nothing of runs or versions."""

from __future__ import annotations

import os
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
_BY_DEFAULT: Mapping[str, str] = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "4",  # about 30 s; MLflow's own default keeps a dead server's caller 4 minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}


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

        try:
            yield
        except MlflowException as error:
            words = " ".join(str(error).split())[:300]
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                raise UnknownNameError(f"{what}: MLflow at {self.uri} says: {words}") from error
            if error.error_code in {"INVALID_PARAMETER_VALUE", "RESOURCE_ALREADY_EXISTS", "INVALID_STATE"}:
                raise FaultError(f"{what}: MLflow at {self.uri} refused: {words}") from error
            raise InfrastructureError(f"{what}: MLflow at {self.uri} failed: {words}; is it running?") from error
        except OSError as error:  # requests' own errors among them
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
    for name, value in _BY_DEFAULT.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    return Connection(uri, MlflowClient(tracking_uri=uri, registry_uri=uri))
