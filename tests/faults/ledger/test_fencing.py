"""A writer that was held up for longer than its lease wakes, and must not write any more."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from typing import Any

from components.errors import AlreadyRunningError, StaleRevisionError

NAME, TTL_S = "rollout/taxi/local", 0.4


def test_a_writer_that_was_stopped_past_its_lease_wakes_and_is_fenced(
    promoters: Any, fork: Any, exit_code: Any
) -> None:
    """Its proposal rests on the present revision: nothing but the fence can tell that it comes late."""
    promoters.record(1, 2)
    seen = promoters.slot

    def tick() -> int:
        lease = promoters.ledger.acquire(NAME, "the first", TTL_S)
        os.kill(os.getpid(), signal.SIGSTOP)
        try:
            promoters.ledger.commit(promoters.promotion(1, seen), sinks=promoters.sinks, lease=lease)
        except StaleRevisionError as error:
            return promoters.LOST if "it is held by the second with fence 2" in str(error) else 1
        return promoters.WON

    child = fork(tick)
    assert os.WIFSTOPPED(os.waitpid(child, os.WUNTRACED)[1])
    lease = taken_over(promoters)
    os.kill(child, signal.SIGCONT)
    assert exit_code(child) == promoters.LOST
    assert promoters.slot == seen
    assert promoters.ledger.commit(promoters.promotion(2, seen), sinks=promoters.sinks, lease=lease).stable == 2
    promoters.require_consistent()


def taken_over(promoters: Any) -> Any:
    """Take the lease as soon as it is over."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(AlreadyRunningError):
            return promoters.ledger.acquire(NAME, "the second", 60)
        time.sleep(0.02)
    raise AssertionError("a lease that is over was never given away")


def test_a_lease_of_a_holder_that_was_killed_becomes_free_and_only_one_gets_it(
    promoters: Any, fork: Any, exit_code: Any
) -> None:
    def die() -> int:
        promoters.ledger.acquire(NAME, "dead", TTL_S)
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    assert exit_code(fork(die)) == -signal.SIGKILL
    time.sleep(TTL_S)

    def take() -> int:
        try:
            return 100 + int(promoters.ledger.acquire(NAME, f"process {os.getpid()}", 60).fence)
        except AlreadyRunningError:
            return int(promoters.LOST)

    codes = [exit_code(child) for child in [fork(take) for _ in range(8)]]
    assert sorted(codes) == [promoters.LOST] * 7 + [102]


def test_a_lease_taken_over_while_its_holder_commits_waits_for_the_commit(
    promoters: Any, fork: Any, exit_code: Any
) -> None:
    """Between the check of the fence and the commit nobody else gets the lease."""
    promoters.record(1)
    seen, told = promoters.slot, os.pipe()
    lease = promoters.ledger.acquire(NAME, "the first", 0.01)
    time.sleep(0.05)

    def slow_commit() -> int:
        import sqlalchemy

        def dawdle(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
            if statement.startswith("INSERT INTO event"):
                os.write(told[1], b".")
                time.sleep(0.5)

        sqlalchemy.event.listen(promoters.ledger._database.engine, "before_cursor_execute", dawdle)
        promoters.ledger.commit(promoters.promotion(1, seen), sinks=promoters.sinks, lease=lease)
        return 0

    child = fork(slow_commit)
    os.read(told[0], 1)
    second = promoters.ledger.acquire(NAME, "the second", 60)
    assert promoters.slot.rev == 1, "the lease was given away while its holder committed"
    assert second.fence == 2
    assert exit_code(child) == 0
