"""A copy of the project to play in, as a clone of it would be: what git tracks or would track, committed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from components.errors import BadInputError

_OURS = ("TOWPATH_", "MLFLOW_", "PREFECT_")
_LEFT_OUT = ("tests/", "docs/")
_EMPTY_LOCK = "schema: '2.0'\nstages: {}\n"


@contextmanager
def project_copy(root: Path) -> Iterator[Path]:
    """Give a copy with a state folder of its own for the length of the block; its servers end with it.

    Raises:
        BadInputError: the project is no git repository.
    """
    with TemporaryDirectory(prefix="towpath-demo-", ignore_cleanup_errors=True) as folder:
        copy = Path(folder) / "project"
        for name in _listed(root):
            if name and (root / name).is_file() and not name.startswith(_LEFT_OUT):
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / name, copy / name)
        (copy / "dvc.lock").write_text(_EMPTY_LOCK)
        git(copy, "init", "--quiet")
        commit_all(copy, "as cloned")
        try:
            yield copy
        finally:
            command = [sys.executable, "-m", "pipelines.cli", "down"]
            subprocess.run(command, cwd=copy, env=own_environment(), capture_output=True, check=False)


def own_environment(**more: str) -> dict[str, str]:
    """Return this process's environment without what would lead out of the copy: ledgers, servers, tokens."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return {**kept, "TOWPATH_PYTHON": sys.executable, **more}


def commit_all(copy: Path, message: str) -> None:
    """Commit everything in the copy: a version that is made from a dirty tree does not get into staging."""
    git(copy, "add", "--all")
    git(copy, "commit", "--quiet", "--message", message)


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder, as nobody in particular."""
    identity = ["-c", "user.name=demo", "-c", "user.email=demo@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def _listed(root: Path) -> list[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BadInputError(f"{root.resolve()} is no git repository, and the demo plays in a clone of one")
    return done.stdout.split("\0")
