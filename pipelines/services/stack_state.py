"""What the stack keeps in its folder: credentials, its gateways, what it put aside, how other commands find it.

Starts nothing. While the stack is up, the laptop's routing state is put aside and comes back afterwards: its revisions
belong to another ledger, and a gateway refuses a ledger whose revisions are lower than those it has seen.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path

from components.stage.files import write_json
from components.types import record
from components.types.release import Environment
from pipelines.state import STATE

STACK = STATE / "stack"
BUCKETS = ("towpath-mlflow", "towpath-dvc")
"""MLflow's artifacts, and the DVC remote."""
DVC_LOCAL = Path(".dvc/config.local")
DATABASES = ("ledger", "mlflow", "prefect")
"""The ledger first: a backup dumps it first."""
OWNER = "towpath"
"""The superuser of the stack's own PostgreSQL; each database has an owner of its own name besides."""

_SETTINGS, _ENVIRONMENT = STACK / "settings.json", STACK / "environment.json"
_GATEWAYS = STACK / "gateways.json"
_ROUTING = ("gateway", "environments")


@dataclass(frozen=True)
class StackSettings:
    """What is made once, at the first start; holds credentials."""

    passwords: Mapping[str, str]
    """By role of PostgreSQL."""
    access_key: str
    secret_key: str
    database_folder: str
    """PostgreSQL's data."""


def read_settings(root: Path = Path()) -> StackSettings | None:
    """Return the settings; None where there is no stack."""
    try:
        return record.read(StackSettings, root / _SETTINGS)
    except (OSError, ValueError):
        return None


def make_settings(database_folder: Path, root: Path = Path()) -> StackSettings:
    """Make credentials at random and keep them in a file that only this user can read."""
    passwords = {role: secrets.token_urlsafe(24) for role in (OWNER, *DATABASES)}
    settings = StackSettings(passwords, secrets.token_hex(10), secrets.token_hex(20), str(database_folder))
    write_private(root / _SETTINGS, json.dumps(record.dump(settings), indent=2))
    return settings


def write_environment(variables: Mapping[str, str], root: Path = Path()) -> None:
    """Keep the variables by which every command of the project finds the stack; they hold a password."""
    write_private(root / _ENVIRONMENT, json.dumps(dict(variables), indent=2))


def read_environment(root: Path = Path()) -> dict[str, str]:
    """Return the variables by which a command finds the stack; empty where it is not up."""
    try:
        return dict(json.loads((root / _ENVIRONMENT).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}


def adopt_stack(environment: MutableMapping[str, str] = os.environ, root: Path = Path()) -> None:
    """Let this process use the stack while it is up, except where the user has set a variable."""
    for name, value in read_environment(root).items():
        environment.setdefault(name, value)


def forget_environment(root: Path = Path()) -> None:
    """Let commands use the laptop's own servers again."""
    (root / _ENVIRONMENT).unlink(missing_ok=True)


def add_gateways(environments: Iterable[Environment], root: Path = Path()) -> None:
    """Keep which environments' gateways were asked for, beside those before: one that died is missed by this alone."""
    asked = {*read_gateways(root), *environments}
    write_json(root / _GATEWAYS, [env.value for env in Environment if env in asked])


def read_gateways(root: Path = Path()) -> tuple[Environment, ...]:
    """Return the environments whose gateways were asked for since the stack came up."""
    try:
        return tuple(Environment(name) for name in json.loads((root / _GATEWAYS).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return ()


def forget_gateways(root: Path = Path()) -> None:
    """Ask for no gateway any more."""
    (root / _GATEWAYS).unlink(missing_ok=True)


def forget_figures(folders: Iterable[Path], root: Path = Path()) -> None:
    """Delete what was left for Prometheus since the stack's first start; what is older is the laptop's."""
    began_at = (root / _SETTINGS).stat().st_mtime
    for path in [path for folder in folders for path in (root / folder).rglob("*.prom")]:
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime >= began_at:
                path.unlink()


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user can read, from its first byte on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def take_over(dvc_remote: Mapping[str, str], root: Path = Path()) -> None:
    """Put the laptop's routing state and local DVC configuration aside, once, and the stack's own in their place."""
    laptop, own = root / STACK / "laptop", root / STACK / "own"
    if not laptop.exists():
        laptop.mkdir(parents=True)
        for name in _ROUTING:
            _move(root / STATE / name, laptop / name)
            _move(own / name, root / STATE / name)
        _move(root / DVC_LOCAL, laptop / DVC_LOCAL.name)
    lines = "".join(f"    {name} = {value}\n" for name, value in dvc_remote.items())
    write_private(root / DVC_LOCAL, f"[core]\n    remote = stack\n['remote \"stack\"']\n{lines}")


def hand_back(root: Path = Path()) -> None:
    """Undo `take_over`; the stack's routing state goes into its folder."""
    laptop, own = root / STACK / "laptop", root / STACK / "own"
    if not laptop.exists():
        return
    own.mkdir(parents=True, exist_ok=True)
    for name in _ROUTING:
        _move(root / STATE / name, own / name)
        _move(laptop / name, root / STATE / name)
    (root / DVC_LOCAL).unlink(missing_ok=True)
    _move(laptop / DVC_LOCAL.name, root / DVC_LOCAL)
    laptop.rmdir()


def _move(source: Path, target: Path) -> None:
    if source.exists():
        shutil.move(source, target)
