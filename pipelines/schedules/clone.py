"""The clone in which a scheduled run works: clean, at one commit. Runs git, and knows no DVC."""

from __future__ import annotations

import shutil
from pathlib import Path

from components.errors import FaultError
from components.stage.files import write_text
from pipelines.schedules.bounded import run_until
from pipelines.state import STATE


def check_out(folder: Path, commit: str, root: Path, deadline: float | None) -> None:
    """Have a clean clone of the project at a commit, also where git was killed in the middle of it before.

    Args:
        folder: The clone; nobody else works in it.
        commit: The commit, in full.
        root: The project.
        deadline: When the run's time is up (`time.monotonic`); None: never.

    Raises:
        FaultError: git failed.
        StageTimeoutError: the run's time was up.
    """
    if not (folder / ".git" / "info").is_dir():
        new = folder.with_name(f".{folder.name}.new")
        for stale in (folder, new):
            shutil.rmtree(stale, ignore_errors=True)
        _git(root, "clone", "--quiet", "--local", "--no-checkout", str(root), str(new), deadline=deadline)
        new.rename(folder)
    write_text(folder / ".git" / "info" / "exclude", f"/{STATE}\n")
    (folder / ".git" / "index.lock").unlink(missing_ok=True)
    _git(folder, "checkout", "--quiet", "--force", "--detach", commit, deadline=deadline)
    _git(folder, "clean", "--quiet", "--force", "-d", deadline=deadline)


def _git(folder: Path, *arguments: str, deadline: float | None) -> None:
    done = run_until(["git", *arguments], folder, deadline, f"`git {arguments[0]}` in {folder}")
    if done.returncode:
        raise FaultError(f"git {arguments[0]} failed in {folder}: {' '.join(done.stderr.split())}")
