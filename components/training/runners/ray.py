"""Run a training on a Ray cluster, as if it had run here. Knows nothing of what a trainer does.

The task, the prepared data (once per node, by their digest; never the test split) and the newest checkpoint go to a
node; what the training says, its checkpoints and its files come back. A node that dies costs what was done since the
last checkpoint: the training goes on elsewhere.
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from components.cluster.capacity import Request
from components.cluster.folders import Arrival, subset_digest, write_chunk
from components.cluster.session import NodeLostError, Session, joined
from components.errors import ConfigError, InfrastructureError, StageTimeoutError
from components.stage.files import require_digest
from components.stage.process import PROGRESS_FILE, call_file
from components.stage.progress import note
from components.training.core.checkpoints import Checkpoints
from components.training.core.protocol import tensorboard_dir
from components.training.core.runner import Resources
from components.training.core.task import WORK_DIR
from components.training.core.worker import TASK_FILE
from components.training.runners.node import CHECKPOINT, GRACE_S, OUTPUT, PREPARED, NodeTraining, Said, Sent
from components.types.dataset import Split
from components.types.training import TrainingTask

ATTEMPTS = 3
"""On how many nodes a training is tried before the cluster is held to be at fault."""
_PATIENCE_S = 5.0
"""After how long it is said that a training waits for room."""
_LATE_S = 60.0
"""How long after its time-out a node may be silent about it."""


class RayRunner:
    """Run on the Ray cluster at ``RAY_ADDRESS``."""

    def run(self, task: TrainingTask, folder: Path, timeout_s: float, resources: Resources) -> None:
        """Do what `folder`'s task file says on some node, and bring the trainer's files to `folder`.

        Raises:
            MissingExtraError: Ray is not installed, or a node lacks what the kind needs.
            BadInputError: the cluster's address is missing, or a node has other versions than this machine.
            ConfigError: no node can ever give what is asked.
            InfrastructureError: the cluster cannot be reached, or node after node was lost.
            StageTimeoutError: it ran past its time-out, waiting for room not counted; its checkpoint is here.
            TowpathError: the trainer's own error.
        """
        request = Request(resources.cpus or float(task.threads), resources.gpus, resources.memory_bytes)
        with joined() as session:
            remote = _RemoteTraining(session, task, folder, request, timeout_s)
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    remote.run()
                    return
                except NodeLostError as error:
                    lost = str(error)
                if attempt < ATTEMPTS:
                    note(f"{task.training} lost its node; it goes on elsewhere from its last checkpoint: {lost}")
        raise InfrastructureError(
            f"training {task.training} lost {ATTEMPTS} nodes of the cluster one after the other, the last one so: "
            f"{lost}; look at the nodes' memory, and run again to go on from its checkpoint"
        )


class _RemoteTraining:
    """One training, on one node after another if need be."""

    def __init__(self, session: Session, task: TrainingTask, folder: Path, request: Request, timeout_s: float) -> None:
        self._session, self._task, self._folder, self._request = session, task, folder, request
        self._timeout_s = self._left_s = timeout_s
        self._arrival: Arrival | None = None

    def run(self) -> None:
        self._require_capacity()
        for path in self._folder.iterdir():  # what a lost node had sent
            if path.name != TASK_FILE:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        actor = self._session.start(NodeTraining, self._request)
        try:
            node = self._wait_for_room(actor)
            note(f"{self._task.training} runs on node {node}")
            prepared = self._send_prepared(actor)
            checkpoint = self._send_checkpoint(actor)
            self._train(actor, prepared, checkpoint)
        finally:
            self._session.stop(actor)
            self._abandon()

    def _require_capacity(self) -> None:
        task = self._task
        key = f"models.{task.model}.runner.resources.{task.training}"
        self._session.require_capacity(self._request, f"training {task.training}", key)

    def _wait_for_room(self, actor: Any) -> str:
        """Wait until a node has taken the training, and return the node's name; give up when none ever can."""
        placed = actor.name.remote()
        waited_s, said = 0.0, False
        while not self._session.ready([placed], 1.0):
            waited_s += 1.0
            if waited_s >= _PATIENCE_S and not said:
                note(f"{self._task.training} waits for room on the cluster")
                said = True
            try:
                self._require_capacity()
            except ConfigError as error:
                raise InfrastructureError(f"the cluster lost nodes: {error}") from error
        return self._session.require_same_environment(actor)

    def _send_prepared(self, actor: Any) -> str:
        """Bring the prepared data to the node, one training at a time: the others then find them there."""
        folder = self._task.prepared_dir
        digest = subset_digest(folder, _for_trainers)
        WORK_DIR.mkdir(parents=True, exist_ok=True)
        with (WORK_DIR / f"{self._task.model}.sending.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._session.send(actor, PREPARED, folder, digest, _for_trainers)
        return digest

    def _send_checkpoint(self, actor: Any) -> tuple[str, str] | None:
        newest = Checkpoints(self._task.checkpoint_dir).latest()
        return (newest.name, self._session.send_whole(actor, CHECKPOINT, newest)) if newest else None

    def _train(self, actor: Any, prepared: str, checkpoint: tuple[str, str] | None) -> None:
        """Train in the time that is left; only what passes here is taken from it, no wait for room or for data."""
        begun_s = time.monotonic()
        try:
            run = actor.run.options(num_returns="streaming")
            self._follow(actor, run.remote(self._task, prepared, checkpoint, self._left_s))
        finally:
            self._left_s = max(self._left_s - (time.monotonic() - begun_s), 1.0)

    def _follow(self, actor: Any, stream: Any) -> None:
        deadline_s = time.monotonic() + self._left_s + _LATE_S
        try:
            while self._take(stream, 0.5):
                if time.monotonic() > deadline_s:
                    raise StageTimeoutError(
                        f"training {self._task.training} ran past its time-out of {self._timeout_s:g} s and its node "
                        "is silent; run again to go on from its checkpoint, or raise `timeout_s`"
                    )
        except KeyboardInterrupt:
            self._drain(actor, stream)
            raise

    def _drain(self, actor: Any, stream: Any) -> None:
        """Have the training store its state, and wait for that as long as it may take."""
        actor.stop.remote()
        deadline_s = time.monotonic() + GRACE_S + 1.0
        with contextlib.suppress(Exception):  # what ends it is known: it was asked to
            while time.monotonic() < deadline_s and self._take(stream, 0.2):
                pass

    def _take(self, stream: Any, timeout_s: float) -> bool:
        """Take what has come, or wait for it a while; False when there is nothing more to come."""
        if not self._session.ready([stream], timeout_s):
            return True
        try:
            reference = next(stream)
        except StopIteration:
            return False
        event = self._session.get(reference)
        if isinstance(event, Said):
            _say(event)
        else:
            self._receive(event)
        return True

    def _receive(self, sent: Sent) -> None:
        if sent.kind == CHECKPOINT:
            self._receive_checkpoint(sent)
        elif sent.chunk is not None:
            write_chunk(self._folder if sent.kind == OUTPUT else tensorboard_dir(self._task), sent.chunk)
        elif sent.kind == OUTPUT:
            require_digest(self._folder, sent.digest)

    def _receive_checkpoint(self, sent: Sent) -> None:
        """Take a piece of a checkpoint; once it is whole, it replaces the older ones."""
        target = self._task.checkpoint_dir / sent.name
        if sent.chunk is not None:
            if self._arrival is None or self._arrival.target != target:
                self._abandon()
                self._arrival = Arrival(target)
            self._arrival.write(sent.chunk)
        elif self._arrival is not None:
            self._arrival.finish(sent.digest)
            self._arrival = None
            for older in self._task.checkpoint_dir.glob("epoch-*"):
                if older.name < sent.name:
                    shutil.rmtree(older, ignore_errors=True)

    def _abandon(self) -> None:
        if self._arrival is not None:
            self._arrival.abandon()
            self._arrival = None


def _say(said: Said) -> None:
    """Say here what the training says there."""
    if said.log:
        sys.stderr.write(said.log)
        sys.stderr.flush()
    if said.progress and (live := call_file(PROGRESS_FILE)):
        with live.open("a", encoding="utf-8") as file:
            file.write(said.progress)


def _for_trainers(name: str) -> bool:
    """Say whether a file of the prepared data goes to a node: no trainer sees the test split."""
    return not name.startswith(f"{Split.TEST}.")
