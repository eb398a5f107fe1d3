"""A training on a node: a folder like the project's, a process group of its own, and what it says while it goes on.

Runs on the node, as an actor's body, and imports no Ray. The stage's machine and this one share no files: prepared
data and checkpoints come by `components.cluster.node.Node`, and what the trainer writes goes back in pieces.
"""

from __future__ import annotations

import codecs
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from components.cluster.folders import Chunk, chunks
from components.cluster.node import Node
from components.errors import StageFailedError, TowpathError, error_from_json
from components.stage.files import tree_digest, write_json
from components.stage.process import CALL_DIR_VARIABLE, ERROR_FILE, LOG_FILE, PID_FILE, PROGRESS_FILE, kill_group
from components.training.core.environment import ENVIRONMENTS_VARIABLE
from components.training.core.protocol import tensorboard_dir
from components.training.core.worker import TASK_FILE
from components.types.training import TrainingTask

PREPARED = "prepared"
CHECKPOINT = "checkpoints"
OUTPUT = "output"
REPORTS = "reports"
GRACE_S = 6.0
"""How long a training may take to store its state when it is to end; its own child has 5 s for that."""
_POLL_S = 0.1
_READ_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Said:
    """Text that the training wrote: to the stream of live progress, or to its output."""

    progress: str
    log: str


@dataclass(frozen=True)
class Sent:
    """A piece of a folder that goes back; without a piece, the folder is whole and has this digest."""

    kind: str
    name: str
    chunk: Chunk | None
    digest: str = ""


Event = Said | Sent


class NodeTraining(Node):
    """One training on this node."""

    def __init__(self) -> None:
        """Prepare for one training."""
        super().__init__()
        self._call: Path | None = None
        self._stopped = False

    def run(
        self, task: TrainingTask, prepared: str, checkpoint: tuple[str, str] | None, timeout_s: float
    ) -> Iterator[Event]:
        """Train, and give what is written meanwhile, new checkpoints, and at the end the trainer's files.

        Args:
            task: What to do; its paths are relative.
            prepared: The digest of the prepared data, which are here.
            checkpoint: The name and digest of the checkpoint to go on from, which is here.
            timeout_s: After how long it is stopped.

        Raises:
            TowpathError: the trainer's own error.
            StageFailedError: it died without a word.
        """
        work = self._base / "work"
        work.mkdir(exist_ok=True)
        scratch = Path(mkdtemp(prefix=f"{task.training}.", dir=work))
        try:
            self._lay_out(scratch, task, prepared, checkpoint)
            yield from self._train(scratch, task, checkpoint[0] if checkpoint else "", timeout_s)
            yield from _sent(OUTPUT, "", scratch / task.output_dir)
            yield from _sent(REPORTS, "", scratch / tensorboard_dir(task))
        finally:
            self._kill()
            shutil.rmtree(scratch, ignore_errors=True)

    def stop(self) -> None:
        """Ask the training to store its state and end, and end it if it does not; `run` then gives what is left."""
        self._stopped = True
        self._kill()

    def _kill(self) -> None:
        if self._call is not None:
            try:
                group = int((self._call / PID_FILE).read_text())
            except (OSError, ValueError):
                return
            kill_group(group, GRACE_S)

    def _lay_out(self, scratch: Path, task: TrainingTask, prepared: str, checkpoint: tuple[str, str] | None) -> None:
        """Make the folders that the task names, below `scratch`; code and data are links to what all share here."""
        for name in ("components", "infra"):
            (scratch / name).symlink_to(Path.cwd() / name)
        (scratch / task.prepared_dir).parent.mkdir(parents=True)
        (scratch / task.prepared_dir).symlink_to(self._kept(PREPARED, prepared))
        (scratch / task.output_dir).mkdir(parents=True)
        write_json(scratch / task.output_dir / TASK_FILE, task)
        if checkpoint:
            name, digest = checkpoint
            shutil.copytree(self._kept(CHECKPOINT, digest), scratch / task.checkpoint_dir / name)
        (scratch / "call").mkdir()

    def _train(self, scratch: Path, task: TrainingTask, newest: str, timeout_s: float) -> Iterator[Event]:
        self._call = scratch / "call"
        module = "components.training.runners.remote_stage"
        command = [sys.executable, "-m", module, str(task.output_dir / TASK_FILE), str(timeout_s)]
        with subprocess.Popen(command, cwd=scratch, env=self._environment(), stdin=subprocess.DEVNULL) as process:
            try:
                streams = _Streams(self._call)
                while True:
                    code = process.poll()
                    if said := streams.read():
                        yield said
                    for sent in _new_checkpoint(scratch / task.checkpoint_dir, newest):
                        newest = sent.name
                        yield sent
                    if code is not None:
                        break
                    time.sleep(_POLL_S)
            finally:
                self._kill()
        while said := streams.read(ended=True):
            yield said
        if code:
            raise self._failure(task, code)

    def _environment(self) -> Mapping[str, str]:
        """Return the node's own variables: nothing of the machine that the training comes from."""
        own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        assert self._call is not None
        own[CALL_DIR_VARIABLE] = str(self._call)
        own.setdefault(ENVIRONMENTS_VARIABLE, str(self._base / "environments"))
        return own

    def _failure(self, task: TrainingTask, code: int) -> TowpathError:
        assert self._call is not None
        report = self._call / ERROR_FILE
        if report.is_file():
            return error_from_json(json.loads(report.read_text(encoding="utf-8")))
        return StageFailedError(
            f"training {task.training} ended with code {code} on node {self.name()} without a word; the node may be "
            "out of memory"
        )


class _Streams:
    """What is new in the files of a call."""

    def __init__(self, call: Path) -> None:
        self._paths = (call / PROGRESS_FILE, call / LOG_FILE)
        self._places = dict.fromkeys(self._paths, 0)
        self._decoders = {path: codecs.getincrementaldecoder("utf-8")("replace") for path in self._paths}

    def read(self, *, ended: bool = False) -> Said | None:
        """Return the new whole lines, or nothing; a part of what is new where that is more than a buffer holds.

        Args:
            ended: Nobody writes any more: a last line without an end is whole.
        """
        progress, log = (self._lines(path, ended) for path in self._paths)
        return Said(progress, log) if progress or log else None

    def _lines(self, path: Path, ended: bool) -> str:
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            file.seek(self._places[path])
            text = file.read(_READ_BYTES)
        full = len(text) == _READ_BYTES
        whole = text[: text.rfind(b"\n") + 1]
        if not whole and (full or ended):
            whole = text
        self._places[path] += len(whole)
        return self._decoders[path].decode(whole, final=ended and not full)  # a buffer may end within a character


def _sent(kind: str, name: str, folder: Path) -> Iterator[Sent]:
    if not folder.is_dir():
        return
    for chunk in chunks(folder):
        yield Sent(kind, name, chunk)
    yield Sent(kind, name, None, tree_digest(folder))


def _new_checkpoint(folder: Path, newest: str) -> Iterator[Sent]:
    """Give the newest checkpoint if it is another than `newest`; one that is replaced meanwhile is not whole."""
    path = max(folder.glob("epoch-*"), default=None)
    if path is None or path.name == newest:
        return
    try:
        yield from _sent(CHECKPOINT, path.name, path)
    except FileNotFoundError:
        return
