"""Install a kind's own environment by uv, whole or not at all. Standard library only; knows no kind by name."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from components.errors import DigestMismatchError, InfrastructureError, MissingExtraError
from components.stage.files import file_digest, whole_directory, write_text
from components.training.core.environment import STAMP_FILE, interpreter, packages
from components.training.core.environment_choice import Choice, Environment

_SPARE = 1.1
"""Free space that is asked for, by what the packages take."""


def install(environment: Environment, choice: Choice, folder: Path, lock: int, tell: Callable[[str], None]) -> None:
    """Make `folder` an environment with the packages of a lock.

    Args:
        environment: What the kind declares.
        choice: The lock.
        folder: Where to.
        lock: The descriptor of the file that the caller has locked: uv holds it as well, so that nobody else begins
            before it has ended, whatever becomes of this process.
        tell: Takes a sentence for the person who waits.

    Raises:
        DigestMismatchError: the lock is missing, or not the one that is declared.
        MissingExtraError: there is no uv, or no interpreter of the version.
        InfrastructureError: the disk is too small, or uv failed.
    """
    _check_lock(choice)
    python = find_python(environment)
    _check_space(environment, choice, folder.parent)
    tell(
        f"installing {environment.title} ({choice.name}) into {folder}, once: about {choice.disk_gb:g} GB on disk, and "
        "less to download"
    )
    started_s = time.monotonic()
    _remove_leftovers(folder)
    log = folder.with_name(f"{folder.name}.log")
    try:
        with whole_directory(folder) as temporary, log.open("w", encoding="utf-8") as output:
            run = _Uv(environment, output.name, lock, tell)
            run("venv", "--allow-existing", "--relocatable", "--python", python, str(temporary))
            into = str(interpreter(temporary))
            options = ["--require-hashes", "--no-deps", "--compile-bytecode", "--requirements", choice.lock]
            run("pip", "install", "--python", into, *options)
            stamp = {"lock": choice.lock, "lock_sha256": choice.lock_sha256, "packages": packages(temporary)}
            write_text(temporary / STAMP_FILE, json.dumps(stamp, indent=1) + "\n")
    except OSError as error:
        raise InfrastructureError(f"{environment.title} could not be installed into {folder}: {error}") from error
    tell(f"installed {environment.title} ({choice.name}) in {time.monotonic() - started_s:.0f} s")


def find_python(environment: Environment) -> str:
    """Return an interpreter of the version that an environment needs.

    Raises:
        MissingExtraError: there is no uv to look for one, or there is none.
    """
    if f"{sys.version_info.major}.{sys.version_info.minor}" == environment.python:
        return str(getattr(sys, "_base_executable", sys.executable))
    command = [*_uv_command(), "python", "find", "--no-project", environment.python]
    found = subprocess.run(command, env=_uv_variables(), capture_output=True, text=True, check=False)
    if found.returncode == 0 and found.stdout.strip():
        return found.stdout.strip()
    raise MissingExtraError(
        f"{environment.title} needs an interpreter of Python {environment.python}, and there is none on this machine; "
        f"install one, for example by `.venv/bin/uv python install {environment.python}`"
    )


class _Uv:
    """Runs uv, tells what it says, keeps the whole of it in a log, and makes a failure one sentence."""

    def __init__(self, environment: Environment, log: str, lock: int, tell: Callable[[str], None]) -> None:
        self._environment, self._log, self._lock, self._tell = environment, log, lock, tell

    def __call__(self, *arguments: str) -> None:
        """Run one command to its end.

        Raises:
            InfrastructureError: it failed.
        """
        command = [*_uv_command(), *arguments]
        process = subprocess.Popen(
            command,
            env=_uv_variables(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            pass_fds=(self._lock,),
        )
        assert process.stdout is not None
        said: list[str] = []
        with process, Path(self._log).open("a", encoding="utf-8") as log:
            try:
                for line in process.stdout:
                    log.write(line)
                    log.flush()
                    said.append(line.strip())
                    if line.split(maxsplit=1)[:1] and line.split()[0] in _PROGRESS:
                        self._tell(f"{self._environment.title}: {line.strip()}")
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            words = _reasons(said) or f"exit code {process.returncode}"
            raise InfrastructureError(
                f"{self._environment.title} could not be installed, and nothing of it was left: {words} (the whole "
                f"output is in {self._log}); run again when that is mended"
            )


_PROGRESS = {"Resolved", "Downloading", "Building", "Built", "Prepared", "Installed", "Bytecode"}
"""First words of the lines of uv that say how far it is."""


def _reasons(said: list[str]) -> str:
    """Return uv's error and its causes, and the compiler's where it was one, without all that stands between."""
    reasons = [line.partition(":")[2].strip() for line in said if line.startswith(("error:", "cause:"))]
    return ": ".join(reason.rstrip(".") for reason in reasons)[:500]


def _uv_command() -> list[str]:
    """Return the command that starts uv.

    Raises:
        MissingExtraError: there is none.
    """
    if find_spec("uv") is not None:
        return [sys.executable, "-m", "uv"]
    if found := shutil.which("uv"):
        return [found]
    raise MissingExtraError("uv, which installs the environments of kinds, is missing; run `make setup`")


def _uv_variables() -> dict[str, str]:
    """Return the variables for uv: nothing shared with the cache that a package could spoil, no unasked download."""
    mine = {
        "UV_LINK_MODE": "clone" if platform.system() == "Darwin" else "copy",
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_NO_PROGRESS": "1",
        "NO_COLOR": "1",
    }
    return {**mine, **{name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}}


def _check_lock(choice: Choice) -> None:
    path = Path(choice.lock)
    found = file_digest(path) if path.is_file() else None
    if found != choice.lock_sha256:
        what = f"has digest {found[:12]}" if found else "is missing"
        raise DigestMismatchError(
            f"{choice.lock} {what} where {choice.lock_sha256[:12]} is declared; fetch the project's own file again, or "
            "run `make lock` if it is yours to change"
        )


def _check_space(environment: Environment, choice: Choice, folder: Path) -> None:
    free_gb = shutil.disk_usage(folder).free / 1e9
    if free_gb < choice.disk_gb * _SPARE:
        raise InfrastructureError(
            f"{environment.title} takes about {choice.disk_gb:g} GB, and only {free_gb:.1f} GB are free in {folder}; "
            "make room, or name another folder in TOWPATH_ENVIRONMENTS"
        )


def _remove_leftovers(folder: Path) -> None:
    """Remove what an installation left that was killed; its folder has a name that nobody asks for."""
    for each in folder.parent.glob(f".{folder.name}.*"):
        shutil.rmtree(each, ignore_errors=True)
