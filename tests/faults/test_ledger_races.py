"""Promoters that race, die in the middle of a commit, or find the ledger locked."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from multiprocessing import get_context
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from components.errors import InfrastructureError, StaleRevisionError
from components.release import chain
from components.release.ledger import Ledger
from components.release.records import Digests, Placement, RecordedVersion, Slot, Transition
from components.types.release import Environment

MODEL, LOCAL = "taxi", Environment.LOCAL
PROMOTERS, RACES, DEATHS = 10, 8, 40
WON, LOST = 10, 20

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks")


def recorded(number: int) -> RecordedVersion:
    return RecordedVersion(MODEL, number, f"{number:064x}", "d" * 64, "onnx", "ada")


def promotion(number: int, seen: Slot) -> Transition:
    digests = Digests(f"{number:064x}", "d" * 64, "0c0ffee", "1" * 64, "2" * 64, "3" * 64)
    to = Placement(stable=number, previous=seen.stable)
    return Transition(MODEL, LOCAL, seen.rev, number, "stable", to, digests, f"promoter {number}", "race")


def forked(body: Callable[[], int]) -> int:
    """Run `body` in a child and return its process id; the child exits with what it returns."""
    child = os.fork()
    if child == 0:
        try:
            code = body()
        except BaseException:
            code = 99
        os._exit(code)
    return child


def exit_code(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def promote(url: str, number: int, seen: Slot, start: Callable[[], object]) -> int:
    start()
    try:
        Ledger(url).commit(promotion(number, seen))
    except StaleRevisionError:
        return LOST
    return WON


@pytest.mark.slow
def test_of_ten_concurrent_promoters_one_wins(ledger_url: str) -> None:
    ledger = Ledger(ledger_url)
    for number in range(1, PROMOTERS + 1):
        ledger.record_version(recorded(number))
    for race in range(RACES):
        seen = ledger.slot(MODEL, LOCAL)
        barrier = get_context("fork").Barrier(PROMOTERS)
        children = [
            forked(lambda number=number, seen=seen, barrier=barrier: promote(ledger_url, number, seen, barrier.wait))
            for number in range(1, PROMOTERS + 1)
        ]
        codes = [exit_code(child) for child in children]
        assert sorted(codes) == [WON] + [LOST] * (PROMOTERS - 1)
        after = ledger.slot(MODEL, LOCAL)
        assert after.rev == race + 1
        assert after.stable == codes.index(WON) + 1
    events = ledger.events(MODEL, LOCAL)
    assert ledger.verify(MODEL, LOCAL).intact
    assert chain.replay(Slot(model=MODEL, env=LOCAL, rev=0), events) == ledger.slot(MODEL, LOCAL)


def test_the_same_promotion_from_many_processes_happens_once_and_all_are_told_so(ledger_url: str) -> None:
    ledger = Ledger(ledger_url)
    ledger.record_version(recorded(1))
    seen = ledger.slot(MODEL, LOCAL)
    barrier = get_context("fork").Barrier(PROMOTERS)
    children = [forked(lambda: promote(ledger_url, 1, seen, barrier.wait)) for _ in range(PROMOTERS)]
    assert [exit_code(child) for child in children] == [WON] * PROMOTERS
    assert len(ledger.events(MODEL, LOCAL)) == 1


@pytest.mark.parametrize("there", [False, True], ids=["no file", "an empty file"])
def test_a_ledger_made_by_many_at_once_is_one_ledger(ledger_url: str, there: bool) -> None:
    path = Path(ledger_url.removeprefix("sqlite:///")) if ledger_url.startswith("sqlite") else None
    if there and path:
        path.parent.mkdir()
        path.touch()
    barrier = get_context("fork").Barrier(PROMOTERS)

    def record(number: int) -> int:
        barrier.wait()
        Ledger(ledger_url).record_version(recorded(number))
        return WON

    children = [forked(lambda number=number: record(number)) for number in range(1, PROMOTERS + 1)]
    assert [exit_code(child) for child in children] == [WON] * PROMOTERS
    assert len(Ledger(ledger_url).versions(MODEL)) == PROMOTERS
    if path:
        assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_promoter_killed_at_each_step_of_a_commit_leaves_all_of_it_or_nothing(ledger_url: str) -> None:
    ledger = Ledger(ledger_url)
    for number in (1, 2):
        ledger.record_version(recorded(number))
    seen, died_at = ledger.slot(MODEL, LOCAL), 0
    while True:
        child = forked(lambda step=died_at: commit_and_die(ledger_url, seen, step))
        if exit_code(child) == WON:
            break
        time.sleep(0.02)  # until a server has noticed
        assert ledger.slot(MODEL, LOCAL) == seen, f"killed before step {died_at}"
        assert ledger.verify(MODEL, LOCAL).findings == ()
        died_at += 1
    assert died_at >= 5, "the commit has fewer steps than it was killed at"
    assert ledger.slot(MODEL, LOCAL).stable == 1
    assert ledger.verify(MODEL, LOCAL).findings == ()


def commit_and_die(url: str, seen: Slot, step: int) -> int:
    """Commit a promotion, killed before one of its statements or commits; the last one is the commit itself."""
    steps_left = iter(range(step, -1, -1))

    def die(*_arguments: object) -> None:
        if next(steps_left, None) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "before_cursor_execute", die)
    event.listen(Engine, "commit", die)
    return promote(url, 1, seen, lambda: None)


@pytest.mark.slow
def test_a_promoter_killed_at_any_moment_leaves_a_whole_ledger(ledger_url: str) -> None:
    """Kill -9 a promoter that commits in a loop: all it was told of is there, and at most one commit more."""
    ledger, random = Ledger(ledger_url), Random(7)
    for number in (1, 2):
        ledger.record_version(recorded(number))
    for _ in range(DEATHS):
        before = ledger.slot(MODEL, LOCAL)
        told, tell = os.pipe()

        def commit_for_ever(slot: Slot = before, tell: int = tell) -> int:
            while True:
                slot = Ledger(ledger_url).commit(promotion(1 if slot.stable == 2 else 2, slot))
                os.write(tell, b".")

        child = forked(commit_for_ever)
        os.close(tell)
        assert os.read(told, 1) == b"."
        time.sleep(random.uniform(0, 0.03))
        os.kill(child, signal.SIGKILL)
        assert exit_code(child) == -signal.SIGKILL
        acknowledged = before.rev + 1 + len(os.read(told, 65536))
        os.close(told)
        assert settled(ledger, acknowledged).rev in {acknowledged, acknowledged + 1}
        assert ledger.verify(MODEL, LOCAL).findings == ()
    assert chain.replay(Slot(model=MODEL, env=LOCAL, rev=0), ledger.events(MODEL, LOCAL)) == ledger.slot(MODEL, LOCAL)


def settled(ledger: Ledger, at_least: int) -> Slot:
    """Return the slot once a server has noticed that its client died."""
    slot = ledger.slot(MODEL, LOCAL)
    assert slot.rev >= at_least
    time.sleep(0.02)
    return ledger.slot(MODEL, LOCAL)


@contextmanager
def locked(path: Path, seconds: float) -> Iterator[None]:
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        release = threading.Timer(seconds, lambda: holder.execute("ROLLBACK"))
        release.start()
        try:
            yield
        finally:
            release.join()


def test_a_locked_ledger_is_waited_for_and_then_given_up_with_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = Ledger(f"sqlite:///{path}", lock_wait_s=5)
    ledger.record_version(recorded(1))
    seen = ledger.slot(MODEL, LOCAL)
    with locked(path, 1.0):
        started = time.monotonic()
        first = ledger.commit(promotion(1, seen))
        assert time.monotonic() - started > 0.8
    impatient = Ledger(f"sqlite:///{path}", lock_wait_s=0.3)
    with locked(path, 1.5):
        assert impatient.slot(MODEL, LOCAL) == first, "reading never waits"
        with pytest.raises(InfrastructureError, match=r"locked by another process for more than 0\.3 s"):
            impatient.record_version(recorded(2))
    assert [version.version for version in ledger.versions(MODEL)] == [1]


def test_a_full_disk_is_never_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = Ledger(f"sqlite:///{path}")
    ledger.record_version(recorded(1))
    slot = ledger.commit(promotion(1, ledger.slot(MODEL, LOCAL)))

    def with_a_file_limit() -> int:
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        try:
            Ledger(f"sqlite:///{path}").record_version(recorded(2))
        except InfrastructureError:
            return LOST
        return WON

    assert exit_code(forked(with_a_file_limit)) == LOST
    assert ledger.slot(MODEL, LOCAL) == slot
    assert ledger.verify(MODEL, LOCAL).intact
    assert [version.version for version in ledger.versions(MODEL)] == [1]


def test_a_server_that_is_down_is_infrastructure(free_port: Callable[[], int]) -> None:
    pytest.importorskip("psycopg2")
    with pytest.raises(InfrastructureError, match=r"postgresql://towpath:\*\*\*@127\.0\.0\.1"):
        Ledger(f"postgresql://towpath:secret@127.0.0.1:{free_port()}/ledger").slot(MODEL, LOCAL)
