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

from components.errors import ConflictError, FaultError
from components.stage.files import write_json, write_text
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
_LAPTOP, _MOVING, _OWN = STACK / "laptop", STACK / "laptop.moving", STACK / "own"
"""What was put aside of the laptop's; the same while some of it is still, or already, in its place; what of the stack's
is not in its place. The first two are one folder under two names: renaming it says at once which of both it is."""


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
    """Return the variables by which a command finds the stack; empty where it is not up.

    Raises:
        FaultError: the file is damaged.
    """
    path = root / _ENVIRONMENT
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise FaultError(
            f"{path} is damaged, so that no command finds the stack; expected its variables as JSON: delete the file, "
            "then `towpath stack up` writes it again, or `towpath stack down` takes the stack away"
        )
    return {str(name): str(value) for name, value in found.items()}


def adopt_stack(environment: MutableMapping[str, str] = os.environ, root: Path = Path()) -> None:
    """Let this process use the stack while it is up, except where the user has set a variable.

    Raises:
        FaultError: the file that names its variables is damaged.
    """
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
    """Write a file that only this user can read, from its first byte on; see `write_text`."""
    write_text(path, text, mode=0o600)


def take_over(dvc_remote: Mapping[str, str], root: Path = Path()) -> None:
    """Put the laptop's routing state and local DVC configuration aside, once, and the stack's own in their place.

    Interrupted at any point it goes on when it is called again, and `hand_back` undoes what was done.

    Raises:
        ConflictError: something is both in its place and put aside: a command wrote it after an interruption.
    """
    laptop, moving = root / _LAPTOP, root / _MOVING
    if not laptop.exists():
        moving.mkdir(parents=True, exist_ok=True)
        for place, name in _places(root):
            _move(place, moving / name)
        moving.rename(laptop)
    for name in _ROUTING:
        _move(root / _OWN / name, root / STATE / name)
    lines = "".join(f"    {name} = {value}\n" for name, value in dvc_remote.items())
    write_private(root / DVC_LOCAL, f"[core]\n    remote = stack\n['remote \"stack\"']\n{lines}")


def hand_back(root: Path = Path()) -> None:
    """Undo `take_over`, also an interrupted one; the stack's routing state goes into its folder.

    Raises:
        ConflictError: something is both in its place and put aside: a command wrote it after an interruption.
    """
    laptop, moving = root / _LAPTOP, root / _MOVING
    if laptop.exists():
        (root / _OWN).mkdir(parents=True, exist_ok=True)
        for name in _ROUTING:
            _move(root / STATE / name, root / _OWN / name)
        (root / DVC_LOCAL).unlink(missing_ok=True)
        laptop.rename(moving)
    if moving.exists():
        for place, name in _places(root):
            _move(moving / name, place)
        moving.rmdir()


def _places(root: Path) -> list[tuple[Path, str]]:
    """Return where the laptop's things belong, and what each is called while it is put aside."""
    return [*((root / STATE / name, name) for name in _ROUTING), (root / DVC_LOCAL, DVC_LOCAL.name)]


def _move(source: Path, target: Path) -> None:
    if not source.exists():
        return
    if target.exists():  # moved onto a folder it would end up inside
        raise ConflictError(
            f"{target} and {source} both exist, after a start or stop of the stack that was interrupted: keep the one "
            "that is yours, delete the other, and run the same command again"
        )
    shutil.move(source, target)
