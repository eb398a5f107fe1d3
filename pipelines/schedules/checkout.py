"""A clean checkout at a pinned commit, in which one scheduled run of a model works. Runs git and DVC, and no stage.

A clone, not a worktree: a run that is killed leaves nothing behind in the user's own repository. What belongs to the
machine (ledger, store, MLflow's database, locks) is shared through a link; code, configuration and outputs are not.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from components.errors import AlreadyRunningError, BadInputError, InfrastructureError
from components.stage.files import file_digest, write_text
from components.stage.process import CALL_DIR_VARIABLE
from components.training.core.environment import ENVIRONMENTS_VARIABLE, environments_dir
from pipelines.batches.quarantine import add_decisions
from pipelines.batches.tracked import tracked_file
from pipelines.lineage import LOCK_FILES
from pipelines.schedules.bounded import run_until
from pipelines.schedules.clone import check_out
from pipelines.state import CHECKOUTS, LOCKS, REPORTS, STATE

KEPT = STATE / "schedules" / "kept"
"""Per model: dvc.lock and source.json of its last good scheduled run, from which the next one goes on; of an
incremental source, source.json and batches.dvc of its last run, good or not."""
_LOCK = "dvc.lock"
_SENDING_S = 900.0
"""How long each sending of what a run made or read may take, also after a run that used all of its time."""


@dataclass(frozen=True)
class Checkout:
    """A checkout in which a model's run may work, held until the block that opened it ends."""

    model: str
    commit: str
    folder: Path
    root: Path
    """The project that it was made from."""
    deadline: float | None = None
    """When the run's time is up (`time.monotonic`): what works here then is killed. None: never."""

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a process that works here: this interpreter, and no trace of the flow run around it."""
        theirs = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT__")}
        theirs.pop(CALL_DIR_VARIABLE, None)
        theirs.pop("PYTHONPATH", None)  # the checkout's own packages come first
        return theirs | {"TOWPATH_PYTHON": sys.executable, ENVIRONMENTS_VARIABLE: str(environments_dir().resolve())}

    def stages(self) -> list[str]:
        """Return the model's stages that dvc.lock knows."""
        return sorted(_own_stages(self.folder / _LOCK, self.folder, self.model))

    def pull(self) -> None:
        """Fetch the run cache, and the data of every stage that dvc.lock knows.

        Raises:
            InfrastructureError: the remote lacks them, or cannot be reached.
            StageTimeoutError: the run's time was up.
        """
        self._dvc("fetch", "--run-cache", *self.stages())
        if stages := self.stages():
            self._dvc("checkout", "--force", *stages)
        if self._batches.is_file():
            self._dvc("pull", "--force", str(self._batches))

    def push(self) -> None:
        """Send the model's data and the run cache to the remote.

        Raises:
            InfrastructureError: the remote did not take them.
            StageTimeoutError: it took them for too long.
        """
        self._dvc("push", "--run-cache", *self.stages(), at_least_s=_SENDING_S)
        self.keep_batches()

    def keep(self) -> None:
        """Remember what the run left, so that the model's next one goes on from it."""
        kept = self.root / KEPT / self.model
        write_text(kept / _LOCK, (self.folder / _LOCK).read_text(encoding="utf-8"))
        self._keep_probe()

    def keep_batches(self) -> None:
        """Push the batches that were read, and remember them: also of a run that failed, for a source may be emptied.

        Raises:
            InfrastructureError: the remote did not take them.
            StageTimeoutError: it took them for too long.
        """
        if self._batches.is_file():
            self._dvc("push", str(self._batches), at_least_s=_SENDING_S)
            self._keep_probe()

    def _keep_probe(self) -> None:
        for path in (self._batches.with_name("source.json"), self._batches):
            if path.is_file():
                write_text(self.root / KEPT / self.model / path.name, path.read_text(encoding="utf-8"))

    @property
    def _batches(self) -> Path:
        return tracked_file(self.model, self.folder)

    def digests(self) -> dict[str, str]:
        """Return the digests of what decides a run beside its code: dvc.lock and the environment's locks."""
        return {name: file_digest(self.folder / name) for name in (_LOCK, *LOCK_FILES)}

    def _dvc(self, *arguments: str, at_least_s: float = 0.0) -> None:
        name = f"`dvc {arguments[0]}` of {self.model} at {self.commit[:12]}"
        command = [sys.executable, "-m", "dvc", *arguments]
        done = run_until(command, self.folder, self.deadline, name, environment=self.environment, at_least_s=at_least_s)
        if done.returncode:
            raise InfrastructureError(f"{name} failed: {' '.join(done.stderr.split())[-500:]}")


def from_project(sentence: str, folder: Path = Path()) -> str:
    """Return a sentence whose paths of reports lead there from the project, also where `folder` is a checkout of it."""
    state, here = (folder / STATE).resolve(), folder.resolve()
    if not here.is_relative_to(state / CHECKOUTS.name):
        return sentence
    return re.sub(rf"(?<![\w./-]){REPORTS}/", f"{(STATE / here.relative_to(state) / REPORTS).as_posix()}/", sentence)


def resolve(ref: str, root: Path = Path()) -> str:
    """Return the commit that a branch, tag or commit names now.

    Raises:
        BadInputError: there is none.
    """
    done = subprocess.run(
        ["git", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}"],  # noqa: S607 - on PATH
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BadInputError(f"`{ref}` names no commit in {root.resolve()}; fetch it, or set another `ref`")
    return done.stdout.strip()


@contextlib.contextmanager
def open_checkout(model: str, commit: str, root: Path = Path(), deadline: float | None = None) -> Iterator[Checkout]:
    """Hold a clean checkout of `commit` for a run of `model`; what the model's last good run left is laid into it.

    Args:
        model: The model.
        commit: The commit, in full.
        root: The project.
        deadline: As `Checkout` has it.

    Raises:
        AlreadyRunningError: another run works in it.
        BadInputError: the commit's locks are not those of this environment.
        FaultError: git failed.
        StageTimeoutError: the run's time was up.
    """
    root = root.resolve()
    folder = root / CHECKOUTS / commit / model
    with hold(folder, root):
        check_out(folder, commit, root, deadline)
        if not (folder / STATE).is_symlink():
            (folder / STATE).symlink_to(root / STATE, target_is_directory=True)
        checkout = Checkout(model, commit, folder, root, deadline)
        _require_locks(checkout)
        _configure(checkout)
        _lay_in(checkout)
        os.utime(folder)
        yield checkout


@contextlib.contextmanager
def hold(folder: Path, root: Path) -> Iterator[None]:
    """Keep others out of a checkout.

    Raises:
        AlreadyRunningError: somebody is in it.
    """
    from filelock import FileLock, Timeout

    (root / LOCKS).mkdir(parents=True, exist_ok=True)
    lock = FileLock(root / LOCKS / f"checkout-{folder.parent.name[:12]}-{folder.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise AlreadyRunningError(f"another run works in {folder}; wait for it or stop it") from error
    try:
        yield
    finally:
        lock.release()


def _require_locks(checkout: Checkout) -> None:
    for name in LOCK_FILES:
        if file_digest(checkout.folder / name) != file_digest(checkout.root / name):
            raise BadInputError(
                f"{name} at {checkout.commit[:12]} is not the one that this environment stands for; "
                "bring the project's folder to that commit and run `make setup`"
            )


def _configure(checkout: Checkout) -> None:
    """Give DVC the user's own settings, and one cache for all checkouts."""
    own = checkout.root / ".dvc" / "config.local"
    local = checkout.folder / ".dvc" / "config.local"
    if own.is_file():
        shutil.copy2(own, local)
    else:
        local.unlink(missing_ok=True)
    checkout._dvc("config", "--local", "cache.dir", str(checkout.root / CHECKOUTS / "cache"))


def _lay_in(checkout: Checkout) -> None:
    """Lay the model's part of the last good run's dvc.lock over the commit's; DVC decides what of it still holds."""
    from dvc.utils.serialize import dump_yaml

    kept = checkout.root / KEPT / checkout.model
    add_decisions(checkout.model, checkout.root, checkout.folder)  # what was decided here holds before it is committed
    for name in ("source.json", "batches.dvc"):
        if (kept / name).is_file():
            write_text(checkout.folder / "data" / checkout.model / name, (kept / name).read_text(encoding="utf-8"))
    if not (kept / _LOCK).is_file():
        return
    path = checkout.folder / _LOCK
    content = _read(path)
    stages = {**(content.get("stages") or {}), **_own_stages(kept / _LOCK, checkout.folder, checkout.model)}
    dump_yaml(str(path), {"schema": "2.0", "stages": stages})  # as DVC writes it: the same lock is the same bytes


def _own_stages(lock: Path, project: Path, model: str) -> Mapping[str, object]:
    """Return those stages of a dvc.lock that are the model's, and that its configuration still has."""
    from pipelines.config import load_model
    from pipelines.stages import model_stages

    known = set(model_stages(model, load_model(model, project).trainings))
    return {name: stage for name, stage in (_read(lock).get("stages") or {}).items() if name in known}


def _read(path: Path) -> dict[str, dict[str, object]]:
    return (yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None) or {}
