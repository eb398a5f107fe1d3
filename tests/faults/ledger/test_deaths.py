"""Promoters killed with signal 9 at any moment: all of a transition or nothing, and a retry makes it exactly once."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from random import Random
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import event
from sqlalchemy.engine import Engine

from components.errors import InfrastructureError
from components.release.records import Placement, VersionState

BATCH = 50
"""Deaths for each slot, so that its chain does not grow long."""


def test_a_promoter_killed_at_each_statement_of_a_commit_leaves_all_of_it_or_nothing(
    promoters: Any, fork: Any, exit_code: Any
) -> None:
    promoters.record(1, 2)
    proposal, seen, died_at = promoters.promotion(1, promoters.slot), promoters.slot, 0
    while True:
        child = fork(lambda step=died_at: commit_and_die(promoters, proposal, step))
        if exit_code(child) == promoters.WON:
            break
        time.sleep(0.02)  # until a server has noticed
        assert promoters.require_consistent() == seen, f"killed before step {died_at}"
        died_at += 1
    assert died_at >= 8, "the commit has fewer steps than it was killed at"
    promoters.require_once(proposal)


def commit_and_die(promoters: Any, proposal: Any, step: int) -> int:
    """Commit, killed before one of the statements or the commit itself, which is the last step."""
    steps_left = iter(range(step, -1, -1))

    def die(*_arguments: object) -> None:
        if next(steps_left, None) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "before_cursor_execute", die)
    event.listen(Engine, "commit", die)
    code: int = promoters.commit(proposal)
    return code


class Killer:
    """Kills at random moments of a commit; aims so that about half of the deaths come after it."""

    def __init__(self, seed: int) -> None:
        self._random, self._reach_s = Random(seed), 0.02

    def run(self, promoters: Any, fork: Any, proposal: Any, kill: Any) -> int:
        """Start a commit in a process of its own, strike at some moment of it, and return the process."""
        told, tell = os.pipe()

        def commit() -> int:
            os.write(tell, b".")
            code: int = promoters.commit(proposal)
            return code

        child: int = fork(commit)
        os.read(told, 1)
        os.close(told)
        os.close(tell)
        time.sleep(self._random.uniform(0, self._reach_s))
        kill(child)
        return child

    def aim(self, *, was_late: bool) -> None:
        """Strike earlier next time, or later."""
        self._reach_s *= 0.93 if was_late else 1.07


def kill(child: int) -> None:
    os.kill(child, signal.SIGKILL)


@pytest.mark.slow
def test_a_promoter_killed_at_random_moments_leaves_a_whole_ledger(
    promoters: Any, fork: Any, exit_code: Any, full: bool
) -> None:
    on_a_server = not promoters.url.startswith("sqlite")
    deaths, killer, made = (2000 if full else 30 if on_a_server else 300), Killer(7), 0
    for death in range(deaths):
        if death % BATCH == 0:
            promoters.model = f"taxi_{death // BATCH}"
            promoters.record(1, 2)
        seen = promoters.slot
        proposal = promoters.promotion(1 + death % 2, seen)
        acknowledged = exit_code(killer.run(promoters, fork, proposal, kill)) == promoters.WON
        if on_a_server:
            time.sleep(0.01)  # until it has noticed
        after = settled(promoters)
        assert after.rev in {seen.rev, seen.rev + 1}
        assert not acknowledged or after.rev == seen.rev + 1, "what was acknowledged is gone"
        made += after.rev == seen.rev + 1
        killer.aim(was_late=after.rev == seen.rev + 1)
        assert promoters.ledger.commit(proposal, sinks=promoters.sinks).rev == seen.rev + 1
        if death % BATCH == BATCH - 1:
            promoters.require_once(proposal)
    assert 0 < made < deaths, "they died all too early, or all too late"
    print(f"{deaths} deaths, {made} of them after the commit: 0 divergence")


def settled(promoters: Any) -> Any:
    """Return the slot after checking that the ledger is whole.

    A server may finish the commit of a client that died, so the slot is read before the events are.
    """
    assert promoters.ledger.verify(promoters.model, promoters.env).findings == ()
    slot = promoters.slot
    replayed = promoters.ledger.replayed(promoters.model, promoters.env)
    assert replayed == slot or (replayed.rev == slot.rev + 1 and not promoters.url.startswith("sqlite"))
    return replayed


@pytest.mark.slow
def test_a_killed_rejection_never_parts_the_version_from_its_event(
    promoters: Any, fork: Any, exit_code: Any, full: bool
) -> None:
    """The state of a version is in another table than its event: they change together or not at all."""
    killer = Killer(11)
    for number in range(1, (300 if full else 30) + 1):
        promoters.record(number)
        seen = promoters.slot
        proposal = replace(
            promoters.promotion(number, seen),
            target="rejected",
            to=Placement(stable=seen.stable),
            version_state=VersionState.REJECTED,
        )
        exit_code(killer.run(promoters, fork, proposal, kill))
        assert promoters.ledger.verify(promoters.model, promoters.env).findings == ()
        killer.aim(was_late=promoters.slot.rev > seen.rev)
        promoters.ledger.commit(proposal, sinks=promoters.sinks)
        assert promoters.ledger.version(promoters.model, number).state is VersionState.REJECTED
    promoters.require_consistent()


def terminate_backends(url: str) -> None:
    """Let the server end every other connection to this database."""
    with sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool).begin() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_a_backend_killed_at_each_statement_of_a_commit_is_not_acknowledged(postgresql_promoters: Any) -> None:
    promoters = postgresql_promoters
    promoters.record(1)
    proposal, seen, step = promoters.promotion(1, promoters.slot), promoters.slot, 0
    while True:
        steps_left = iter(range(step, -1, -1))

        def end(*_arguments: object, left: Any = steps_left) -> None:
            if next(left, None) == 0:
                terminate_backends(promoters.url)

        engine = promoters.ledger._database.engine
        event.listen(engine, "before_cursor_execute", end)
        event.listen(engine, "commit", end)
        try:
            promoters.ledger.commit(proposal, sinks=promoters.sinks)
            break
        except InfrastructureError:
            pass
        finally:
            event.remove(engine, "before_cursor_execute", end)
            event.remove(engine, "commit", end)
        assert promoters.require_consistent() == seen, f"the backend was killed before step {step}"
        step += 1
    assert step >= 8
    promoters.require_once(proposal)


@pytest.mark.slow
def test_backends_killed_at_random_moments_leave_a_whole_ledger(
    postgresql_promoters: Any, fork: Any, exit_code: Any, full: bool
) -> None:
    promoters, killer, ended = postgresql_promoters, Killer(3), 0
    promoters.record(1, 2)
    for number in range(300 if full else 30):
        proposal = promoters.promotion(1 + number % 2, promoters.slot)
        code = exit_code(killer.run(promoters, fork, proposal, lambda _: terminate_backends(promoters.url)))
        killer.aim(was_late=code == promoters.WON)
        assert code in {promoters.WON, promoters.BROKEN}
        ended += code == promoters.BROKEN
        made = promoters.ledger.events(promoters.model, promoters.env, after_rev=proposal.expected_rev)
        assert code == promoters.BROKEN or len(made) == 1, "what was acknowledged is gone"
        promoters.require_once(proposal)
    assert ended > 0, "none was hit"
