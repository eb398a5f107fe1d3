"""Say what is missing or off on this machine, a sentence each; exit 1 when something needed is."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NEEDED, OPTIONAL, NOTE = "missing", "optional", "note"

Finding = tuple[str, str]


def environment() -> Iterator[Finding]:
    """Look at the interpreter, the tools and .venv."""
    if not (3, 11) <= sys.version_info < (3, 14):
        yield NEEDED, f"Python {platform.python_version()} is not 3.11, 3.12 or 3.13; install one of them."
    for tool in ("git", "make"):
        if shutil.which(tool) is None:
            yield NEEDED, f"{tool} is not on the path; install it."
    if not (ROOT / ".venv/made-from").is_file():
        yield NEEDED, "The environment is not set up; run `make setup`."
    elif subprocess.run(["sh", str(ROOT / "infra/setup"), "--check"], capture_output=True, check=False).returncode:
        yield NEEDED, "The environment is not that of the locks; run `make setup`."
    free_gb = shutil.disk_usage(ROOT).free / 1e9
    if free_gb < 6:
        yield NEEDED, f"Only {free_gb:.1f} GB are free here; the environment and one run need about 6."


def packages() -> Iterator[Finding]:
    """Look at the packages of the environment, when this is its interpreter."""
    if Path(sys.prefix).resolve() != (ROOT / ".venv").resolve():
        return
    check = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "check"],
        capture_output=True,
        text=True,
        check=False,
    )
    if check.returncode:
        yield (
            NEEDED,
            f"Packages do not fit together: {check.stdout.strip().splitlines()[0]}; delete .venv and run `make setup`.",
        )
    try:
        build = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        yield NEEDED, "torch is not installed; delete .venv/made-from and run `make setup`."
        return
    if shutil.which("nvidia-smi") and "+cpu" in build:
        yield (
            OPTIONAL,
            f"There is a GPU, and torch is the CPU build {build}; TOWPATH_TORCH_BACKEND=auto make setup brings CUDA.",
        )


def project() -> Iterator[Finding]:
    """Look at the project's files."""
    lock = subprocess.run(
        [sys.executable, str(ROOT / "infra/lock.py"), "--check"], capture_output=True, text=True, check=False
    )
    if lock.returncode:
        yield NEEDED, f"{lock.stdout.strip()}."
    if not (ROOT / ".dvc/config").is_file():
        yield NEEDED, "This is no DVC project (.dvc/config is missing); clone it again."
    elif not (ROOT / ".git").exists():
        yield NEEDED, "This is no git checkout; lineage needs the commit: clone it, or `git init` and commit."


def kinds() -> Iterator[Finding]:
    """Say of the kinds with an environment of their own which one this machine can have, and whether it is there."""
    report = subprocess.run(
        [sys.executable, str(ROOT / "infra/environments.py")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    if report.returncode:
        words = (report.stderr.strip().splitlines() or ["no message"])[-1]
        yield OPTIONAL, f"The environments of kinds cannot be looked at: {words}."
    for line in report.stdout.splitlines():
        yield NOTE, line


def tests() -> Iterator[Finding]:
    """Look at what only some tests need."""
    wanted = {
        "initdb": "PostgreSQL's initdb is not on the path; the tests on PostgreSQL are skipped.",
        "chromium": "chromium is not on the path; the tests in a real browser are skipped.",
        "strace": "strace is not on the path; the tests that kill a transition at every system call are skipped.",
        "promtool": "promtool is not on the path; the tests of alert rules are skipped.",
        "terraform": "terraform is not on the path; its modules are parsed only.",
    }
    for tool, sentence in wanted.items():
        if shutil.which(tool) is None and not list(Path("/usr/lib/postgresql").glob(f"*/bin/{tool}")):
            yield OPTIONAL, sentence
    if not (ROOT / "../shared/data").is_dir():
        yield OPTIONAL, "The real tables (../shared/data) are not here; the tests on them are skipped."


def main() -> int:
    """Print the findings."""
    os.chdir(ROOT)
    findings = [*environment(), *packages(), *tests()]
    if importlib.util.find_spec("tomllib"):  # Python 3.11 or later; the lock's own check needs it
        findings += [*project(), *kinds()]
    for level, sentence in findings:
        print(f"{level:9} {sentence}")
    needed, optional = (sum(level == each for level, _ in findings) for each in (NEEDED, OPTIONAL))
    print(f"{needed} needed, {optional} optional" if needed or optional else "everything is in order")
    return 1 if needed else 0


if __name__ == "__main__":
    raise SystemExit(main())
