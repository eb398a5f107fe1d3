"""The stack's Prometheus: the project's own configuration and rules, with this machine's targets. Knows no metric."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from components.errors import ConfigError
from components.stage.files import write_json
from components.types.release import Environment
from pipelines.services.local import gateway_service
from pipelines.services.process import HOST, Launch, Service
from pipelines.services.stack_servers import HEALTH, PROMETHEUS, TEXTFILES
from pipelines.services.stack_state import STACK, write_private

CONFIGURATION = Path("infra/prometheus")
"""``prometheus.yml``, and ``rules/`` beside it; they name no address."""

_FOLDER = STACK / "prometheus"
_TOKEN_VARIABLE = "TOWPATH_GATEWAY_TOKEN"  # noqa: S105 - the variable's name, not a token


def program() -> str | None:
    """Return Prometheus' program on the path; None where there is none."""
    return shutil.which("prometheus")


def prometheus_launch(services: Mapping[str, Service], root: Path) -> Launch:
    """Lay out Prometheus' folder, and return how it starts.

    Raises:
        ConfigError: the project has no configuration for it.
    """
    source, folder = (root / CONFIGURATION).resolve(), (root / _FOLDER).resolve()
    if not (source / "prometheus.yml").is_file():
        raise ConfigError(f"{CONFIGURATION / 'prometheus.yml'} is missing; the stack's Prometheus starts with it")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source / "prometheus.yml", folder / "prometheus.yml")
    (folder / "rules").unlink(missing_ok=True)
    (folder / "rules").symlink_to(source / "rules")
    write_private(folder / "secrets" / "gateway-token", os.environ.get(_TOKEN_VARIABLE, ""))
    write_targets(services, root)
    command = (
        *(program() or "prometheus", f"--config.file={folder / 'prometheus.yml'}"),
        *(f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={HOST}:{{port}}"),
    )
    return Launch(PROMETHEUS, command, 9090, HEALTH[PROMETHEUS], "", {}, is_bare=True)


def write_targets(services: Mapping[str, Service], root: Path = Path()) -> None:
    """Name the servers to scrape; Prometheus takes them up without a restart."""
    gateways = {env.value: services.get(gateway_service(env)) for env in Environment}
    targets = root / _FOLDER / "targets"
    found = [_target(each, environment=name) for name, each in gateways.items() if each]
    write_json(targets / "gateways.yml", found)  # JSON is YAML
    write_json(targets / "textfiles.yml", [_target(services[TEXTFILES])] if TEXTFILES in services else [])


def _target(service: Service, **labels: str) -> dict[str, object]:
    return {"targets": [service.url.partition("://")[2]], "labels": labels}
