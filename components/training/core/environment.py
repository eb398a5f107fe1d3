"""The environments of kinds whose packages cannot live beside the others': where they lie, and whether they are whole.

Standard library only: it is asked in the stage's light process. Knows no kind by name. An environment lies in
``.towpath/environments/<lock>-<digest>``, or below ``$TOWPATH_ENVIRONMENTS``, so that several copies of a project share
one; another lock is another folder, and a folder of that name is whole, or is not there.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from components.errors import MissingExtraError
from components.training.core.environment_choice import choose_here, read_environment

ENVIRONMENTS_VARIABLE = "TOWPATH_ENVIRONMENTS"
STAMP_FILE = "towpath.json"
"""Written last; says what an installation must have."""


def environments_dir() -> Path:
    """Return the folder of all environments."""
    return Path(os.environ.get(ENVIRONMENTS_VARIABLE) or ".towpath/environments").absolute()


def environment_dir(kind: str) -> Path:
    """Return the folder that a kind's environment has on this machine, installed or not.

    Raises:
        ConfigError: the kind declares none, or not as it must.
        MissingExtraError: this machine cannot have it.
    """
    return environments_dir() / choose_here(kind, read_environment(kind)).folder_name


def interpreter_of(kind: str) -> Path:
    """Return the interpreter of a kind's environment.

    Raises:
        ConfigError: the kind declares none, or not as it must.
        MissingExtraError: it is not installed, is broken, or this machine cannot have it.
    """
    environment, folder = read_environment(kind), environment_dir(kind)
    if not folder.exists():
        raise MissingExtraError(
            f"{environment.title}, which kind `{kind}` needs, is not installed here ({folder}); run "
            f"`{environment.install}`"
        )
    if found := damage(folder):
        raise MissingExtraError(
            f"the environment of kind `{kind}` is broken: {found}; delete {folder} and run again to have it made "
            f"anew, or run `{environment.install}`, which does both"
        )
    return interpreter(folder)


def require_environment(kind: str, tell: Callable[[str], None], *, repair: bool = False) -> Path:
    """Return the interpreter of a kind's environment, which is installed on first use.

    Args:
        kind: Of the trainer.
        tell: Takes a sentence for the person who waits: how big it is, then how far it is.
        repair: Make a broken one anew, where it would be refused.

    Raises:
        ConfigError: the kind declares none, or not as it must.
        MissingExtraError: it is broken, or this machine cannot have it.
        DigestMismatchError: the lock is not the one that the kind declares.
        InfrastructureError: the installation failed, and left nothing.
    """
    folder = environment_dir(kind)
    if not _needed(folder, repair):
        return interpreter_of(kind)
    from components.training.core.environment_install import install  # only whoever installs pays for it

    with _one_at_a_time(folder, tell) as lock:
        if _needed(folder, repair):
            environment = read_environment(kind)
            install(environment, choose_here(kind, environment), folder, lock, tell)
    return interpreter_of(kind)


def worker_environment(kind: str) -> dict[str, str]:
    """Return the variables that a process of a kind's environment needs besides: its own, and where our code is.

    Raises:
        ConfigError: the kind declares no environment, or not as it must.
    """
    here = Path.cwd()  # the project; where it is installed as well, its packages must not come with it
    project = str(here if (here / "components/__init__.py").is_file() else Path(__file__).resolve().parents[3])
    given = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part and part != project]
    return {**read_environment(kind).variables, "PYTHONPATH": os.pathsep.join([project, *given])}


def damage(folder: Path) -> str | None:
    """Say what an installation lacks, or nothing; looks at names alone, and so costs milliseconds."""
    try:
        expected = set(json.loads((folder / STAMP_FILE).read_text(encoding="utf-8"))["packages"])
    except (OSError, ValueError, KeyError, TypeError):
        return f"it has no readable {STAMP_FILE}"
    if not interpreter(folder).exists():  # follows the link
        return f"its interpreter {os.path.realpath(interpreter(folder))} is gone"
    missing = sorted(expected.difference(packages(folder)))
    more = f" and {len(missing) - 1} more" if missing[1:] else ""
    return f"{missing[0]}{more} is missing from its packages" if missing else None


def interpreter(folder: Path) -> Path:
    """Return the interpreter of an environment; the link itself, since it is what makes it an environment."""
    return folder / "bin" / "python"


def packages(folder: Path) -> list[str]:
    """Return the names of what is installed in an environment: packages, and their descriptions."""
    return sorted(each.name for each in folder.glob("lib/python*/site-packages/*") if each.name != "__pycache__")


def _needed(folder: Path, repair: bool) -> bool:
    return not folder.exists() or (repair and damage(folder) is not None)


@contextmanager
def _one_at_a_time(folder: Path, tell: Callable[[str], None]) -> Iterator[int]:
    """Hold the environment's lock, and give its descriptor; whoever comes second waits for the first."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as file:
        if not _try_lock(file):
            tell(f"waiting for another process that installs {folder.name}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
