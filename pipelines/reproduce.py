"""Rebuild a registered version from its lineage in a clean folder, and compare. Uses stored bytes, never the source."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from components.data.manifest import read_manifest
from components.errors import FaultError, StageFailedError
from components.registry.registry import Registry
from components.registry.request import Lineage
from components.stage.files import require_digest
from components.stage.process import CALL_DIR_VARIABLE
from components.training.core.environment import ENVIRONMENTS_VARIABLE, environments_dir
from components.types import record
from components.types.evaluation import EVALUATION_FILE, Evaluation
from components.types.training import RESULT_FILE, TrainingResult
from pipelines.lineage import code_lineage
from pipelines.recording import open_connection
from pipelines.services.stack_state import DVC_LOCAL, read_environment
from pipelines.state import STATE

TOLERANCE = 1e-3
"""How far the primary metric on the test split may be from the registered one, relative to it."""


@dataclass(frozen=True)
class Check:
    """One thing that was compared."""

    what: str
    registered: str
    rebuilt: str
    same: bool


@dataclass(frozen=True)
class Reproduction:
    """What came out."""

    model: str
    version: int
    checks: tuple[Check, ...]
    reproduced: bool
    """Whether the bytes, or else the metric within `TOLERANCE`, came out the same from the same data."""
    sentence: str


def reproduce(model: str, version: int, say: Callable[[str], None], root: Path = Path()) -> Reproduction:
    """Check out the version's commit, patch, configuration and data, and run its stages anew.

    Raises:
        UnknownNameError: there is no such version.
        InfrastructureError: the registry cannot be reached.
        StageFailedError: the DVC remote lacks bytes that are needed, or a stage failed.
    """
    registry = Registry(open_connection(root))
    with _clean_folder() as folder:
        stored = folder / "lineage"
        say(f"fetching the lineage of version {version} of {model}")
        lineage = registry.fetch_lineage(model, version, stored)
        project = folder / "project"
        say(f"checking out commit {lineage.git_commit[:12]}{'' if lineage.clean else ' and its patch'}")
        _check_out(lineage, stored, project, root)
        say("pulling the stored dataset")
        _dvc(project, "pull", f"ingest@{model}")
        _run_stages(lineage, project, say)
        return _compare(lineage, stored, project, version, root)


@contextmanager
def _clean_folder() -> Iterator[Path]:
    folder = Path(mkdtemp(prefix="towpath-reproduce-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _check_out(lineage: Lineage, stored: Path, project: Path, root: Path) -> None:
    _git("clone", "--quiet", "--no-checkout", str(root.resolve()), str(project))
    _git("-C", str(project), "checkout", "--quiet", lineage.git_commit)
    require_digest(stored / "dvc.lock", lineage.dvc_lock_digest)
    if not lineage.clean:
        require_digest(stored / "uncommitted.patch", lineage.patch_digest)
        _git("-C", str(project), "apply", "--whitespace=nowarn", str(stored / "uncommitted.patch"))
    shutil.copyfile(stored / "dvc.lock", project / "dvc.lock")
    if read_environment(root):  # the stack is up: its remote is in the local configuration, which no clone has
        shutil.copy(root / DVC_LOCAL, project / DVC_LOCAL)
        return
    remote = (root / STATE / "dvc-remote").resolve()
    # the local remote stands inside the original clone; every other remote's address is in the committed configuration
    (project / DVC_LOCAL).write_text(f"['remote \"local\"']\n    url = {remote}\n")


def _run_stages(lineage: Lineage, project: Path, say: Callable[[str], None]) -> None:
    model, training = lineage.model, lineage.training
    for stage in (f"validate@{model}", f"prepare@{model}", f"train@{training}", f"evaluate@{training}"):
        begun = time.monotonic()
        _dvc(project, "repro", "--single-item", "--force", stage)
        say(f"{stage:40} {time.monotonic() - begun:6.1f} s")


def _dvc(project: Path, *arguments: str) -> None:
    """Run DVC in the clean folder, in a process of its own: inside one process it belongs to one folder."""
    environment = {name: value for name, value in os.environ.items() if name != CALL_DIR_VARIABLE}
    environment |= {"TOWPATH_PYTHON": sys.executable, ENVIRONMENTS_VARIABLE: str(environments_dir())}
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no message"]
        raise StageFailedError(f"`dvc {' '.join(arguments)}` failed in the clean folder: {' '.join(lines[-3:])[:500]}")


def _compare(lineage: Lineage, stored: Path, project: Path, version: int, root: Path) -> Reproduction:
    outputs = project / "out" / lineage.model
    dataset = read_manifest(lineage.model, project).digest
    result = record.read(TrainingResult, outputs / "trainings" / lineage.training / RESULT_FILE)
    before = record.read(Evaluation, stored / EVALUATION_FILE)
    after = record.read(Evaluation, outputs / "evaluations" / lineage.training / EVALUATION_FILE)
    old, new = (each.test.metrics[before.primary].value for each in (before, after))
    close = abs(new - old) <= TOLERANCE * max(abs(old), 1e-12)
    locks = code_lineage(root).locks == dict(lineage.lock_digests)
    checks = (
        Check("dataset digest", lineage.dataset_digest[:16], dataset[:16], lineage.dataset_digest == dataset),
        Check("environment locks", "as registered", "as registered" if locks else "others", locks),
        Check(
            "product digest", lineage.product_digest[:16], result.product_digest[:16],
            lineage.product_digest == result.product_digest,
        ),
        Check(f"test {before.primary} (tolerance {TOLERANCE:g} relative)", f"{old:.6f}", f"{new:.6f}", close),
    )  # fmt: skip
    same_data, _, same_product, same_metric = (check.same for check in checks)
    reproduced = same_data and (same_product or same_metric)
    how = "byte for byte" if same_product else "within the tolerance" if same_metric else "no longer"
    sentence = (
        f"version {version} of {lineage.model} is reproduced {how}" if same_data else "the stored dataset differs"
    )
    return Reproduction(lineage.model, version, checks, reproduced, sentence)


def _git(*arguments: str) -> None:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)  # noqa: S607 - on PATH
    if done.returncode:
        words = " ".join(done.stderr.split())
        raise FaultError(f"git {arguments[0]} failed: {words}; is the version's commit still in this clone?")
