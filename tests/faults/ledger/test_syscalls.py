"""Every system call by which a transition changes a file is made the last one, or made to fail (strace injects it)."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

MUTATING = ("openat", "write", "pwrite64", "fdatasync", "fsync", "ftruncate", "fallocate", "unlink", "rename", "fchown")
TRACED = ",".join(f"?{name},?{name}at" for name in MUTATING)
"""With a question mark, because no machine has all of them."""
CALL = re.compile(r"^(?:\d+ +)?(\w+)\(", re.MULTILINE)
"""At the beginning of a line: what is written stands in it too, and may look like a call."""
ATTACH_S = 20
_PR_SET_PTRACER, _ANY = 0x59616D61, -1

pytestmark = pytest.mark.slow


class Tracer:
    """Runs a body in a warm child of this process, with strace at it."""

    def __init__(self, fork: Any, exit_code: Any, folder: Path) -> None:
        self._fork, self._exit_code, self._log = fork, exit_code, folder / "strace.log"

    def run(self, body: Callable[[], int], *injected: str) -> int:
        """Return how a child ended that ran `body` under the given injections; skip where it may not be traced."""
        waits, go = os.pipe()

        def traced() -> int:
            ctypes.CDLL(None).prctl(_PR_SET_PTRACER, _ANY, 0, 0, 0)
            os.close(go)
            os.read(waits, 1)
            return body()

        child = self._fork(traced)
        os.close(waits)
        command = ["strace", "-f", "-p", str(child), "-o", str(self._log), "-e", f"trace={TRACED}"]
        command += [f"--inject={each}" for each in injected]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "LC_ALL": "C"}) as strace:
            assert strace.stderr is not None
            said = strace.stderr.readline()
            os.close(go)
            code: int = self._exit_code(child, ATTACH_S + 60)
            rest = strace.stderr.read()
        if "attached" not in said:
            pytest.skip(f"strace may not attach here: {' '.join((said + rest).split())[:200]}")
        return code

    @property
    def calls(self) -> Counter[str]:
        """How often the last child made each of the calls."""
        return Counter(CALL.findall(self._log.read_text()))


@pytest.fixture
def tracer(fork: Any, exit_code: Any, tmp_path: Path) -> Tracer:
    if not shutil.which("strace"):
        pytest.skip("strace is not on the path")
    return Tracer(fork, exit_code, tmp_path)


class Promotions:
    """One promotion after the other, each under a lease, with sinks, and of a version of its own."""

    def __init__(self, promoters: Any) -> None:
        self.promoters, self._number = promoters, 0

    def next(self) -> tuple[Any, Callable[[], int]]:
        """Return a new proposal, and the body that commits it and tells by its exit code how it went."""
        self._number += 1
        self.promoters.record(self._number)
        proposal = self.promoters.promotion(self._number, self.promoters.slot)
        return proposal, lambda: self.promoters.commit(proposal)


def occurring(tracer: Tracer, promotions: Promotions) -> list[str]:
    """Return the calls that a commit makes, once it was seen that it changes the database by them."""
    _, body = promotions.next()
    assert tracer.run(body) == promotions.promoters.WON
    calls = tracer.calls
    assert calls["pwrite64"] > 5
    assert calls["fdatasync"] + calls["fsync"] >= 1
    return sorted(calls)


@pytest.fixture(params=["alone", "beside a reader"])
def company(request: pytest.FixtureRequest, sqlite_promoters: Any) -> Iterator[None]:
    """Hold the ledger open or not: whoever closes it last empties the log, so that a writer does more when alone."""
    path = sqlite_promoters.url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as reader:
        if request.param != "alone":
            reader.execute("SELECT * FROM slot").fetchall()
        yield


@pytest.mark.usefixtures("company")
def test_a_promoter_killed_at_any_changing_system_call_leaves_a_whole_ledger(
    sqlite_promoters: Any, tracer: Tracer
) -> None:
    promotions, deaths = Promotions(sqlite_promoters), Counter[str]()
    for name in occurring(tracer, promotions):
        for call in range(1, 500):
            proposal, body = promotions.next()
            code = tracer.run(body, f"{name}:signal=KILL:when={call}")
            slot = sqlite_promoters.require_consistent()
            assert slot.rev in {proposal.expected_rev, proposal.expected_rev + 1}
            sqlite_promoters.require_once(proposal)
            if code == sqlite_promoters.WON:
                break
            assert code == -9
            deaths[name] += 1
    assert deaths.total() > 12, "it died in fewer places than it has"
    print(f"{deaths.total()} deaths, 0 divergence: {dict(deaths)}")


FAILURES = [("pwrite", "ENOSPC", True), ("sync", "EIO", False), ("sync", "EIO", True), ("ftruncate", "EIO", False)]
if os.environ.get("TOWPATH_FULL") == "1":
    FAILURES += [("pwrite", "ENOSPC", False), ("pwrite", "EIO", False), ("pwrite", "EIO", True)]


@pytest.mark.parametrize(("wanted", "error", "lasting"), FAILURES)
def test_a_disk_that_fails_is_never_acknowledged(
    sqlite_promoters: Any, tracer: Tracer, wanted: str, error: str, lasting: bool
) -> None:
    promoters, promotions, failures, acknowledged = sqlite_promoters, Promotions(sqlite_promoters), 0, 0
    (name,) = (each for each in occurring(tracer, promotions) if wanted in each)
    for call in range(1, 500):
        proposal, body = promotions.next()
        code = tracer.run(body, f"{name}:error={error}:when={call}{'+' if lasting else ''}")
        was_reached = tracer.calls[name] >= call
        slot = promoters.require_consistent()
        if code == promoters.BROKEN:
            failures += 1
            assert slot.rev == proposal.expected_rev, f"{name} {call} failed, was not acknowledged, and is there"
        else:
            assert code == promoters.WON
            acknowledged += was_reached
            assert slot.rev == proposal.expected_rev + 1, f"{name} {call} failed, was acknowledged, and is gone"
        promoters.require_once(proposal)
        if not was_reached:
            break
    assert failures
    print(f"{name} {error}: {failures} refused, {acknowledged} after the commit was durable")
