"""The story, inside the copy: a good version gets to production, three broken ones do not, going back takes seconds.

As a program: ``python -m pipelines.demo.story PICTURE``; the exit code is 4 when something was not as it must be.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from components.errors import TowpathError
from components.stage.files import write_json
from components.types.record import dump
from pipelines.demo.broken import SENTENCES, Fault
from pipelines.demo.registering import register_broken
from pipelines.demo.rollouts import PRODUCTION_PLAN, Outcome, Stage, release
from pipelines.demo.samples import Sampler
from pipelines.demo.traffic import RATE_PER_S, Traffic
from pipelines.demo.versions import MODEL, make_challenger, make_champion, prepare_copy
from pipelines.gateway import start_gateway
from pipelines.release.actors import who
from pipelines.release.environments import load_environment
from pipelines.release.operate import carry_out, roll_back
from pipelines.release.requests import read_signature, request_rows
from pipelines.state import quiet

_UNDO_S = 5.0
_LOG_LINES = 40


@dataclass
class Told:
    """What was told so far, what was marked in the picture, and what was not as it must be."""

    begun: float = field(default_factory=time.monotonic)
    marks: list[tuple[float, str]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def tell(self, words: str) -> None:
        """Say a line, with the time."""
        sys.stdout.write(f"{time.monotonic() - self.begun:6.1f} s  {words}\n")
        sys.stdout.flush()

    def expect(self, holds: bool, what: str) -> None:
        """Say whether something is as it must be."""
        self.tell(f"  {'ok' if holds else 'NOT AS IT MUST BE'}: {what}")
        if not holds:
            self.wrong.append(what)


def play(picture: Path, root: Path = Path()) -> int:
    """Play the story, and return the exit code."""
    told = Told()
    told.tell("training two versions in a copy of the project; nothing outside it is touched")
    prepare_copy(root)
    champion, challenger = make_champion(root), make_challenger(root)
    told.tell(f"versions {champion} and {challenger} of {MODEL} passed their gates and are registered")
    stage = _stage(root)
    for env in (stage.staging, stage.production):
        start_gateway(None, 0, root, env.name.value)
    first = release(stage, champion, told.tell)
    told.expect(first.stable, f"version {champion} is stable in production; nothing was there to compare it with")
    with _users(stage) as users:
        sampler = Sampler(stage.production, MODEL)
        with sampler.running():
            _good_one(told, stage, challenger, users, sampler)
            for fault in Fault:
                _broken_one(told, stage, challenger, fault, users, sampler)
            _going_back(told, stage, champion, users, sampler)
    told.expect(users.seen.failed == 0, f"{users.seen.requests:,} requests in all, {users.seen.failed} failed")
    _tell_failures(told, stage, users)
    _draw(told, sampler, picture)
    return 4 if told.wrong else 0


def _tell_failures(told: Told, stage: Stage, users: Traffic) -> None:
    """Say how requests failed, and what the gateway's log has of it."""
    for (status, said), times in users.seen.failures.items():
        told.tell(f"  {times} failed with {f'status {status}: {said}' if status else 'no answer at all'}")
    gateway = stage.production.gateway()
    if users.seen.failures and gateway is not None:
        for line in Path(gateway.log).read_text().splitlines()[-_LOG_LINES:]:
            told.tell(f"  gateway: {line}")


def _good_one(told: Told, stage: Stage, version: int, users: Traffic, sampler: Sampler) -> None:
    told.tell(f"a good challenger, version {version}:")
    told.marks.append((sampler.now_s, f"good: version {version}"))
    outcome = _released(told, stage, version, users)
    told.expect(outcome.stable, f"it is stable after {outcome.seconds:.0f} s")


def _broken_one(told: Told, stage: Stage, base: int, fault: Fault, users: Traffic, sampler: Sampler) -> None:
    version = register_broken(MODEL, base, fault, stage.local, stage.root)
    told.tell(f"a broken one ({fault.value}), version {version}: {SENTENCES[fault]}; its gates passed all the same")
    told.marks.append((sampler.now_s, f"{fault.value}: version {version}"))
    outcome = _released(told, stage, version, users)
    told.expect(
        not outcome.stable and bool(outcome.why), f"caught in {outcome.where}, after {outcome.requests} requests"
    )
    told.tell(f"  because: {outcome.why}")
    stands = stage.production.ledger().slot(MODEL, stage.production.name).stable
    told.expect(stands == base, f"version {stands} answers everybody")


def _released(told: Told, stage: Stage, version: int, users: Traffic) -> Outcome:
    failed = users.seen.failed
    outcome = release(stage, version, told.tell)
    told.expect(users.seen.failed == failed, f"{users.seen.failed - failed} requests of users failed meanwhile")
    return outcome


def _going_back(told: Told, stage: Stage, champion: int, users: Traffic, sampler: Sampler) -> None:
    told.tell(f"going back to version {champion}, while users go on:")
    told.marks.append((sampler.now_s, f"back to version {champion}"))
    failed = users.seen.failed
    planned = roll_back(stage.production, MODEL, champion, stage.actor, "the demo's last act")
    done = carry_out(stage.production, planned, _UNDO_S)
    time.sleep(1.0)
    told.expect(
        done.served and done.seconds <= _UNDO_S,
        f"all servers answer with version {champion} after {done.seconds:.2f} s, at most {_UNDO_S:g} s allowed",
    )
    told.expect(users.seen.failed == failed, f"{users.seen.failed - failed} requests of users failed meanwhile")


def _stage(root: Path) -> Stage:
    local, staging, production = (load_environment(name, root) for name in ("local", "staging", "production"))
    return Stage(local, staging, production, who(production), root)


@contextmanager
def _users(stage: Stage) -> Iterator[Traffic]:
    """Let users ask the production gateway for the rows of the test split."""
    production = stage.production
    slot = production.ledger().slot(MODEL, production.name)
    assert slot.stable is not None
    placed = production.place(production.ledger().version(MODEL, slot.stable).ref)
    rows = request_rows(MODEL, read_signature(placed.directory), "test", stage.root)
    with Traffic(production.gateway_url(), MODEL, rows, RATE_PER_S).running() as users:
        yield users


def _draw(told: Told, sampler: Sampler, picture: Path) -> None:
    """Draw the picture in a process of its own."""
    threshold = load_environment("production").plan(PRODUCTION_PLAN).judge.threshold
    story = {"samples": [dump(each) for each in sampler.samples], "marks": told.marks, "threshold": threshold}
    with TemporaryDirectory(prefix="towpath-story-") as folder:
        file = Path(folder) / "story.json"
        write_json(file, story)
        command = [sys.executable, "-m", "pipelines.demo.plot", str(file), str(picture)]
        drawn = subprocess.run(command, capture_output=True, text=True, check=False)
    told.expect(drawn.returncode == 0, f"{picture} shows weights and evidence over time{drawn.stderr[-300:]}")


if __name__ == "__main__":
    quiet()
    try:
        raise SystemExit(play(Path(sys.argv[1])))
    except TowpathError as error:
        sys.stderr.write(f"towpath: {error}\n")
        raise SystemExit(error.exit_code) from error
