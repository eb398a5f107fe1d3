"""What a kind's own environment is declared to be, and which of its locks this machine can have.

Standard library only; knows nothing of installing. A kind's declaration is ``components/training/<kind>/
environment.json``, a file that its trainings depend on.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from components.errors import ConfigError, MissingExtraError
from components.types import record

ENVIRONMENT_FILE = "environment.json"
LIBRARIES = {"Linux": "glibc", "Darwin": "macOS"}
"""Whose version a platform is known by."""


@dataclass(frozen=True)
class Platform:
    """Machines that a lock has packages for."""

    system: str
    """As `platform.system` says it: ``Linux``, ``Darwin``."""
    machine: str
    """As `platform.machine` says it."""
    least: str
    """The oldest glibc (Linux) or macOS (Darwin)."""

    def __str__(self) -> str:
        """Name it for a message."""
        return f"{self.system} {self.machine} with {LIBRARIES.get(self.system, 'version')} {self.least} or later"


@dataclass(frozen=True)
class Choice:
    """One lock that the environment can be installed from."""

    name: str
    lock: str
    """The lock, relative to the project."""
    lock_sha256: str
    """Its digest; ``make lock`` writes it."""
    disk_gb: float
    """What its packages take, once installed."""
    platforms: tuple[Platform, ...]

    @property
    def folder_name(self) -> str:
        """Return the name of the folder it is installed in: another lock is another folder."""
        return f"{self.name}-{self.lock_sha256[:12]}"


@dataclass(frozen=True)
class Environment:
    """An environment that a kind's processes run in."""

    title: str
    """What it is called in a message."""
    install: str
    """The command that installs it."""
    python: str
    """The version of its interpreter, as ``3.11``."""
    choices: tuple[Choice, ...]
    """The locks, the one to be preferred first."""
    variables: Mapping[str, str]
    """What its processes find in their environment besides."""


@dataclass(frozen=True)
class Machine:
    """What decides which packages can run here."""

    system: str
    machine: str
    version: str
    """Of glibc or macOS; empty where there is neither."""

    def __str__(self) -> str:
        """Name it for a message."""
        library = LIBRARIES.get(self.system, "version")
        return f"{self.system} {self.machine} with {f'{library} {self.version}' if self.version else f'no {library}'}"


def this_machine() -> Machine:
    """Look at the machine this runs on."""
    system = platform.system()
    version = platform.mac_ver()[0] if system == "Darwin" else ""
    if system == "Linux":
        library, found = platform.libc_ver()
        version = found if library == "glibc" else ""
    return Machine(system, platform.machine(), version)


def environment_file(kind: str) -> Path:
    """Return the file, relative to the project, that declares a kind's own environment; most kinds have none."""
    return Path("components/training") / kind / ENVIRONMENT_FILE


def read_environment(kind: str, root: Path = Path()) -> Environment:
    """Return the environment that a kind declares.

    Raises:
        ConfigError: the file is missing, is no JSON, or lacks something.
    """
    path = root / environment_file(kind)
    try:
        return record.read(Environment, path)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path} does not declare the environment of kind `{kind}`: {error}; docs/trainer-author.md shows what it "
            "has"
        ) from error


def choose(kind: str, environment: Environment, machine: Machine, wanted: str | None = None) -> Choice:
    """Return the first lock that the machine can have, or the one that is wanted by name.

    Raises:
        ConfigError: no lock has that name.
        MissingExtraError: the machine can have none, or not that one.
    """
    choices = [each for each in environment.choices if wanted in (None, "", each.name)]
    if not choices:
        names = ", ".join(each.name for each in environment.choices)
        raise ConfigError(f"{choice_variable(kind)} is {wanted!r}; kind `{kind}` has the locks {names}")
    for choice in choices:
        if any(fits(machine, each) for each in choice.platforms):
            return choice
    needs = "; ".join(f"{each.name} needs {' or '.join(map(str, each.platforms))}" for each in choices)
    raise MissingExtraError(
        f"{environment.title}, which kind `{kind}` needs, cannot be installed on this machine ({machine}): {needs}; "
        "train it on another machine, or choose another kind"
    )


def fits(machine: Machine, needed: Platform) -> bool:
    """Say whether packages built for a platform run on a machine."""
    same = (machine.system, machine.machine) == (needed.system, needed.machine)
    return same and bool(machine.version) and _numbers(machine.version) >= _numbers(needed.least)


def choice_variable(kind: str) -> str:
    """Return the variable by which a user asks for one lock, as ``TOWPATH_LOCK_TFX=tfx-1.16``."""
    return f"TOWPATH_LOCK_{re.sub(r'[^A-Za-z0-9]', '_', kind).upper()}"


def choose_here(kind: str, environment: Environment) -> Choice:
    """Return the lock for this machine, or the one that the user asks for.

    Raises:
        ConfigError: the user asks for a lock that there is not.
        MissingExtraError: this machine can have none, or not that one.
    """
    return choose(kind, environment, this_machine(), os.environ.get(choice_variable(kind)))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])
