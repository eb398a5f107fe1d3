"""Versions of one model in a fresh ledger, and processes that promote them, die, or are held up."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from components.errors import InfrastructureError, StaleRevisionError
from components.release.ledger import Ledger
from components.release.records import Digests, Placement, RecordedVersion, Slot, Transition
from components.types.release import Environment

FULL = os.environ.get("TOWPATH_FULL") == "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip all of this folder where no process can be forked."""
    if sys.platform == "win32":
        here = [item for item in items if item.path.is_relative_to(Path(__file__).parent)]
        for item in here:
            item.add_marker(pytest.mark.skip(reason="forks"))


class Promoters:
    """Processes that promote versions of ``taxi``, each forked from this warm one."""

    model, env, sinks = "taxi", Environment.LOCAL, ("router", "aliases")
    WON, LOST, BROKEN = 10, 20, 30

    def __init__(self, url: str) -> None:
        self.url = url
        self.ledger = Ledger(url)
        self._warm_up()

    def _warm_up(self) -> None:
        """Do all that the children do once, for another model: what is compiled and imported here, they inherit."""
        warm, env = "warm", Environment.STAGING
        self.ledger.record_version(RecordedVersion(warm, 1, f"{1:064x}", "d" * 64, "onnx", "ada"))
        proposal = replace(self.promotion(1, self.ledger.slot(warm, env)), model=warm, env=env)
        for _ in range(2):
            self.ledger.commit(proposal, sinks=self.sinks)
        with suppress(StaleRevisionError):
            self.ledger.commit(replace(proposal, target="elsewhere"))

    @property
    def slot(self) -> Slot:
        return self.ledger.slot(self.model, self.env)

    def record(self, *numbers: int) -> None:
        for number in numbers:
            self.ledger.record_version(RecordedVersion(self.model, number, f"{number:064x}", "d" * 64, "onnx", "ada"))

    def promotion(self, number: int, seen: Slot) -> Transition:
        digests = Digests(f"{number:064x}", "d" * 64, "0c0ffee", "1" * 64, "2" * 64, "3" * 64)
        to = Placement(stable=number, previous=seen.stable)
        return Transition(
            self.model, self.env, seen.rev, number, "stable", to, digests, f"promoter {number}", "the gates passed"
        )

    def commit(self, transition: Transition) -> int:
        """Commit in this process and return the exit code that tells how it went."""
        try:
            self.ledger.commit(transition, sinks=self.sinks)
        except StaleRevisionError:
            return self.LOST
        except InfrastructureError:
            return self.BROKEN
        return self.WON

    def require_consistent(self) -> Slot:
        """Check that all tables tell of the same transitions, each of them whole, and return the slot."""
        verification = self.ledger.verify(self.model, self.env)
        assert verification.findings == ()
        slot = self.slot
        assert self.ledger.replayed(self.model, self.env) == slot
        expected = [(rev, sink) for rev in range(1, slot.rev + 1) for sink in self.sinks]
        rows = [row for row in self.ledger.pending(self.env) if row.model == self.model]
        assert [(row.rev, row.sink) for row in rows] == expected
        return slot

    def require_once(self, transition: Transition) -> None:
        """Retry an operation that may or may not have been made, twice, and check that it was made exactly once."""
        first = self.ledger.commit(transition, sinks=self.sinks)
        assert self.ledger.commit(transition, sinks=self.sinks) == first
        events = self.ledger.events(self.model, self.env, after_rev=transition.expected_rev)
        assert [event.op_id for event in events] == [transition.op_id]
        assert self.require_consistent() == first


def fork(body: Callable[[], int]) -> int:
    """Run `body` in a child and return its process id; the child exits with what it returns."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            code = body()
        finally:
            os._exit(code)
    return child


def exit_code(child: int, within_s: float = 120) -> int:
    """Wait for a child and return how it ended; one that hangs is killed and fails the test."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    pytest.fail(f"the child hung for {within_s:g} s")


@pytest.fixture
def full() -> bool:
    """Say whether the full volume is asked for (``TOWPATH_FULL=1``)."""
    return FULL


@pytest.fixture(name="fork")
def _fork() -> Callable[[Callable[[], int]], int]:
    return fork


@pytest.fixture(name="exit_code")
def _exit_code() -> Callable[[int], int]:
    return exit_code


@pytest.fixture
def promoters(ledger_url: str) -> Promoters:
    """Return promoters on a fresh ledger of each database."""
    return Promoters(ledger_url)


@pytest.fixture
def sqlite_promoters(tmp_path: Path) -> Promoters:
    """Return promoters on a fresh ledger in a file."""
    return Promoters(f"sqlite:///{tmp_path}/ledger.db")


@pytest.fixture
def postgresql_promoters(postgresql_url: str) -> Promoters:
    """Return promoters on a fresh ledger in a server."""
    return Promoters(postgresql_url)
