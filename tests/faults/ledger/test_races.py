"""Promoters that race: one wins, all others are told so, and no write is lost or made twice."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from components.release.ledger import Ledger
from components.release.records import Placement, RecordedVersion, Transition, VersionState
from components.types.release import Environment

PROMOTERS = 10


@pytest.mark.slow
def test_of_ten_concurrent_promoters_one_wins(
    promoters: Any, fork: Any, exit_code: Any, full: bool, record_property: Callable[[str, object], None]
) -> None:
    races = 1000 if full else (30 if promoters.url.startswith("sqlite") else 10)
    promoters.record(*range(1, PROMOTERS + 1))
    seconds: list[float] = []
    for race in range(races):
        codes = raced(promoters, fork, exit_code, seconds)
        assert sorted(codes) == [promoters.WON] + [promoters.LOST] * (PROMOTERS - 1)
        after = promoters.slot
        assert (after.rev, after.stable) == (race + 1, codes.index(promoters.WON) + 1)
    promoters.require_consistent()
    median, worst = sorted(seconds)[len(seconds) // 2], max(seconds)
    record_property("worst_commit_s", worst)
    print(f"{races} races of {PROMOTERS}: one winner each; median {median * 1000:.0f} ms, worst {worst * 1000:.0f} ms")


def raced(promoters: Any, fork: Any, exit_code: Any, seconds: list[float]) -> list[int]:
    """Let promoters start at the same moment from the same slot; return how each ended."""
    seen = promoters.slot
    barrier = get_context("fork").Barrier(PROMOTERS)
    told, tell = os.pipe()

    def promote(number: int) -> int:
        barrier.wait()
        started = time.perf_counter()
        code: int = promoters.commit(promoters.promotion(number, seen))
        os.write(tell, struct.pack("d", time.perf_counter() - started))
        return code

    children = [fork(lambda number=number: promote(number)) for number in range(1, PROMOTERS + 1)]
    codes = [exit_code(child) for child in children]
    os.close(tell)
    seconds += [value for (value,) in struct.iter_unpack("d", os.read(told, 4096))]
    os.close(told)
    return codes


def test_the_same_promotion_from_many_processes_happens_once_and_all_are_told_so(
    promoters: Any, fork: Any, exit_code: Any
) -> None:
    promoters.record(1)
    proposal = promoters.promotion(1, promoters.slot)
    barrier = get_context("fork").Barrier(PROMOTERS)

    def promote() -> int:
        barrier.wait()
        code: int = promoters.commit(proposal)
        return code

    assert [exit_code(child) for child in [fork(promote) for _ in range(PROMOTERS)]] == [promoters.WON] * PROMOTERS
    promoters.require_once(proposal)


@pytest.mark.slow
def test_a_promotion_and_a_rollback_are_serialised(promoters: Any, fork: Any, exit_code: Any, full: bool) -> None:
    promoters.record(1, 2, 3)
    for number in (1, 2):
        promoters.commit(promoters.promotion(number, promoters.slot))
    for _ in range(200 if full else 15):
        seen = promoters.slot
        promotion = promoters.promotion(3, seen)
        back = Placement(stable=seen.previous, previous=seen.stable)
        rollback = Transition(
            promoters.model,
            promoters.env,
            seen.rev,
            seen.stable,
            "rolled_back",
            back,
            promoters.promotion(seen.stable, seen).digests,
            "on call",
            "burns its budget",
        )
        barrier = get_context("fork").Barrier(2)
        children = [
            fork(lambda proposal=proposal, barrier=barrier: barrier.wait() * 0 + promoters.commit(proposal))
            for proposal in (promotion, rollback)
        ]
        codes = [exit_code(child) for child in children]
        assert sorted(codes) == [promoters.WON, promoters.LOST]
        made = promotion if codes[0] == promoters.WON else rollback
        assert promoters.slot.placement == made.to
        if promoters.slot.stable == 3:
            promoters.commit(promoters.promotion(seen.stable, promoters.slot))
    promoters.require_consistent()


def test_a_version_is_not_rejected_while_it_is_being_placed_elsewhere(
    promoters: Any, fork: Any, exit_code: Any
) -> None:
    """Once a rejection was answered, no commit that looked at the version before it may still go through."""
    promoters.record(1, 2)
    told = os.pipe()
    staging = replace(promoters.promotion(2, promoters.slot), env=Environment.STAGING)

    def place_slowly() -> int:
        def dawdle(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
            if statement.startswith("INSERT INTO event"):
                os.write(told[1], b".")
                time.sleep(0.5)

        event.listen(promoters.ledger._database.engine, "before_cursor_execute", dawdle)
        promoters.ledger.commit(staging)
        return 0

    child = fork(place_slowly)
    os.read(told[0], 1)
    rejection = replace(
        promoters.promotion(2, promoters.slot), target="rejected", to=Placement(), version_state=VersionState.REJECTED
    )
    promoters.ledger.commit(rejection)
    assert promoters.ledger.slot(promoters.model, Environment.STAGING).stable == 2, "it was placed after its rejection"
    assert exit_code(child) == 0


@pytest.mark.parametrize("there", [False, True], ids=["no file", "an empty file"])
def test_a_ledger_made_by_many_at_once_is_one_ledger(ledger_url: str, there: bool, fork: Any, exit_code: Any) -> None:
    path = Path(ledger_url.removeprefix("sqlite:///")) if ledger_url.startswith("sqlite") else None
    if there and path:
        path.parent.mkdir()
        path.touch()
    barrier = get_context("fork").Barrier(PROMOTERS)

    def record(number: int) -> int:
        barrier.wait()
        Ledger(ledger_url).record_version(RecordedVersion("taxi", number, f"{number:064x}", "d" * 64, "onnx", "ada"))
        return 0

    children = [fork(lambda number=number: record(number)) for number in range(1, PROMOTERS + 1)]
    assert [exit_code(child) for child in children] == [0] * PROMOTERS
    assert len(Ledger(ledger_url).versions("taxi")) == PROMOTERS
    if path:
        assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.slow
def test_a_check_never_takes_a_commit_in_progress_for_tampering(
    promoters: Any, fork: Any, exit_code: Any, full: bool
) -> None:
    promoters.record(1, 2)

    def commit_on() -> int:
        slot = promoters.slot
        for _ in range(500 if full else 60):
            slot = promoters.ledger.commit(promoters.promotion(1 if slot.stable == 2 else 2, slot))
        return 0

    child, checks = fork(commit_on), 0
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        assert promoters.ledger.verify(promoters.model, promoters.env).findings == ()
        checks += 1
    assert checks > 5
