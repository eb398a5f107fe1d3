"""Start an environment's gateway on what its ledger says, and ask it. Loads no model itself."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from components.errors import AlreadyRunningError, ConfigError, InfrastructureError, UnknownNameError
from components.stage.config import nearest
from components.types.release import Environment
from pipelines.release.client import Client
from pipelines.release.environment_config import ProcessTargetSection
from pipelines.release.environments import GATEWAY_TOKEN_VARIABLE, EnvironmentConfig, load_environment
from pipelines.release.requests import read_signature, request_body, split_rows
from pipelines.release.snapshot import write_snapshot
from pipelines.services.local import gateway_launch, gateway_service
from pipelines.services.process import Service, find_service, start_service
from pipelines.state import bare_environment

LOCAL = Environment.LOCAL.value


@dataclass(frozen=True)
class Answer:
    """One row, and what the gateway said of it."""

    url: str
    version: int
    row: Mapping[str, Any]
    outputs: Mapping[str, Any]
    label: Any
    milliseconds: float


def run_gateway(model: str | None, port: int | None, root: Path = Path(), env: str = LOCAL) -> None:
    """Become an environment's gateway, in the foreground.

    Raises:
        UnknownNameError: nothing is stable yet.
        ConfigError: something in the environment's file is wrong.
    """
    where = load_environment(env, root)
    _processes(where)
    _prepare(where, model)
    address = ["--host", "127.0.0.1", "--port", str(_port(where, port))]
    command = [sys.executable, "-m", "components.serving", *gateway_options(where), *address]
    os.execve(sys.executable, command, bare_environment())  # noqa: S606 - no shell


def start_gateway(model: str | None, port: int | None, root: Path = Path(), env: str = LOCAL) -> Service:
    """Start an environment's gateway in the background, or let the one that runs take up the new snapshot.

    Raises:
        UnknownNameError: nothing is stable yet.
        ConfigError: something in the environment's file is wrong.
        AlreadyRunningError: it runs on another port than the one that is asked for.
        InfrastructureError: it did not start.
    """
    where = load_environment(env, root)
    _processes(where)
    serves = _prepare(where, model)
    running = where.gateway()
    if running and port is not None and urlsplit(running.url).port != port:
        raise AlreadyRunningError(f"the gateway runs at {running.url} already; `towpath down` stops it")
    launch = gateway_launch(where.service, gateway_options(where), _port(where, port), serves=serves)
    return running or start_service(launch, root)


def gateway_options(env: EnvironmentConfig) -> list[str]:
    """Return an environment's part of its gateway's command line."""
    target = _processes(env)
    log = ["--log-dir", str(env.log_dir), "--log-rate", str(target.log_rate), "--log-file-s", str(target.log_file_s)]
    logged = log if target.log_rate else []
    kept = ["--snapshot", str(env.router_path), "--state-dir", str(env.board_dir)]
    return [*kept, "--workers", str(target.workers), *logged]


def ask(model: str, root: Path = Path(), env: str = LOCAL) -> Answer:
    """Send the first row of the test split to an environment's running gateway.

    Raises:
        InfrastructureError: no gateway runs, or it does not answer well.
        UnknownNameError: the model has nothing stable there.
    """
    where = load_environment(env, root)
    url = _running_url(where, model)
    number = where.ledger().slot(model, where.name).stable
    if number is None:
        raise UnknownNameError(f"{model} has no stable version in {env} yet; {_first_step(where, model)}")
    placed = where.place(where.ledger().version(model, number).ref)
    signature = read_signature(placed.directory)
    row, label = next(split_rows(model, "test", root))
    path = f"/v2/models/{model}/versions/{number}/infer"
    begun = time.monotonic()
    answer = _post(url, path, request_body(signature, row))
    seconds = time.monotonic() - begun
    outputs = {output["name"]: output["data"] for output in answer["outputs"]}
    shown = {name: row[name] for spec in signature.inputs for name in spec.columns}
    return Answer(url + path, number, shown, outputs, label, seconds * 1000)


def _running_url(env: EnvironmentConfig, model: str) -> str:
    """Return where an environment's gateway answers; where none runs, the error names those that do run here."""
    try:
        return env.gateway_url()
    except InfrastructureError as error:
        running = [each.value for each in Environment if find_service(gateway_service(each), env.root)]
        if not running:
            raise
        raise InfrastructureError(
            f"{error}; gateways run here for: {', '.join(running)} (`towpath ask {model} --env {running[0]}`)"
        ) from error


def _prepare(env: EnvironmentConfig, model: str | None) -> bool:
    """Write the snapshot, and return whether there is anything to serve; only the first environment needs it."""
    snapshot = write_snapshot(env)
    known = sorted(name for name, route in snapshot.models.items() if route.split.stable is not None)
    if env.name is Environment.LOCAL and not known:
        raise UnknownNameError(f"no model has a stable version yet; `towpath run {model or 'MODEL'}` makes one")
    if model and model not in known:
        raise UnknownNameError(
            f"{model} has no stable version in {env.name.value}{nearest(model, known)}; there are: "
            f"{', '.join(known) or 'none'}. {_first_step(env, model)}"
        )
    return bool(known)


def _first_step(env: EnvironmentConfig, model: str) -> str:
    if env.name is Environment.LOCAL:
        return f"`towpath run {model}` makes one"
    return f"`towpath promote {model} VERSION --to {env.name.value}` brings one there"


def _port(env: EnvironmentConfig, port: int | None) -> int:
    return _processes(env).port if port is None else port


def _processes(env: EnvironmentConfig) -> ProcessTargetSection:
    """Return how an environment's gateway runs on this machine.

    Raises:
        ConfigError: it runs elsewhere.
    """
    target = env.section.target
    if not isinstance(target, ProcessTargetSection):
        raise ConfigError(
            f"the gateway of {env.name.value} runs in the cluster (namespace {target.namespace}), so there is nothing "
            f"to start here; `kubectl apply --kustomize infra/kubernetes/overlays/{env.name.value}` starts it"
        )
    return target


def _post(url: str, path: str, body: bytes) -> dict[str, Any]:
    with Client(url, os.environ.get(GATEWAY_TOKEN_VARIABLE)) as client:
        status, content, _ = client.post(path, body)
    if not status:
        raise InfrastructureError(f"the gateway at {url} does not answer; `towpath status` says whether it runs")
    if status != 200:
        raise InfrastructureError(f"the gateway answered {status} to {path}: {content.decode(errors='replace')[:300]}")
    answer: dict[str, Any] = json.loads(content)
    return answer
