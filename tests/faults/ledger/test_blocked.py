"""A ledger that is locked, on a full disk, or on a server that is down: waited for, or refused with a sentence."""

from __future__ import annotations

import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from components.errors import InfrastructureError
from components.release.ledger import Ledger


@contextmanager
def locked(url: str, seconds: float) -> Iterator[None]:
    """Hold the write lock (SQLite) or the slot's row (PostgreSQL) for a while."""
    with sqlalchemy.create_engine(
        url, poolclass=sqlalchemy.NullPool, connect_args={"check_same_thread": False} if "sqlite" in url else {}
    ).connect() as holder:
        holder.exec_driver_sql("BEGIN IMMEDIATE" if "sqlite" in url else "SELECT * FROM slot FOR UPDATE")
        release = threading.Timer(seconds, holder.rollback)
        release.start()
        try:
            yield
        finally:
            release.join()


@pytest.mark.slow
def test_a_lock_is_waited_for(promoters: Any, full: bool) -> None:
    held_s = 10.0 if full else 1.5
    promoters.record(1, 2)
    promoters.commit(promoters.promotion(1, promoters.slot))
    proposal = promoters.promotion(2, promoters.slot)
    started = time.monotonic()
    with locked(promoters.url, held_s):
        assert promoters.commit(proposal) == promoters.WON
        waited_s = time.monotonic() - started
    assert held_s - 0.5 < waited_s < held_s + 30
    promoters.require_once(proposal)


@pytest.mark.slow
def test_a_lock_that_lasts_is_given_up_with_a_sentence_and_reading_never_waits(promoters: Any, full: bool) -> None:
    held_s, patience_s = (70.0, 10.0) if full else (2.0, 0.5)
    promoters.record(1, 2)
    promoters.commit(promoters.promotion(1, promoters.slot))
    before, proposal = promoters.slot, promoters.promotion(2, promoters.slot)
    impatient = Ledger(promoters.url, lock_wait_s=patience_s)
    with locked(promoters.url, held_s):
        started = time.monotonic()
        assert impatient.slot(promoters.model, promoters.env) == before
        assert time.monotonic() - started < held_s
        with pytest.raises(InfrastructureError, match=f"by another process for more than {patience_s:g} s; nothing"):
            impatient.commit(proposal)
        assert time.monotonic() - started < held_s
        assert impatient.slot(promoters.model, promoters.env) == before
    promoters.require_once(proposal)


def test_a_disk_on_which_a_file_cannot_grow_is_never_acknowledged(
    sqlite_promoters: Any, fork: Any, exit_code: Any
) -> None:
    promoters = sqlite_promoters
    promoters.record(1)
    proposal, before = promoters.promotion(1, promoters.slot), promoters.slot

    def with_a_file_limit() -> int:
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        code: int = promoters.commit(proposal)
        return code

    assert exit_code(fork(with_a_file_limit)) == promoters.BROKEN
    assert promoters.require_consistent() == before
    promoters.require_once(proposal)


def test_a_database_that_is_full_is_told_in_a_sentence(sqlite_promoters: Any) -> None:
    promoters = sqlite_promoters
    promoters.record(1)
    before, proposal = promoters.slot, promoters.promotion(1, promoters.slot)
    engine = promoters.ledger._database.engine

    def allow_no_more_pages(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute("PRAGMA max_page_count = 1")

    sqlalchemy.event.listen(engine, "connect", allow_no_more_pages)
    long = {"reason": "x" * 100_000}
    with pytest.raises(InfrastructureError, match=r"disk is full\); the transition was not acknowledged: try again"):
        promoters.ledger.commit(type(proposal)(**{**vars(proposal), **long}), sinks=promoters.sinks)
    sqlalchemy.event.remove(engine, "connect", allow_no_more_pages)
    assert promoters.require_consistent() == before
    promoters.require_once(proposal)


def test_a_server_that_is_down_is_infrastructure(free_port: Callable[[], int]) -> None:
    pytest.importorskip("psycopg2")
    with pytest.raises(InfrastructureError, match=r"postgresql://towpath:\*\*\*@127\.0\.0\.1"):
        Ledger(f"postgresql://towpath:secret@127.0.0.1:{free_port()}/ledger").slot("taxi", "local")


def test_a_ledger_whose_file_was_cut_is_a_fault_and_not_an_empty_ledger(sqlite_promoters: Any) -> None:
    promoters = sqlite_promoters
    promoters.record(1)
    promoters.commit(promoters.promotion(1, promoters.slot))
    path = Path(promoters.url.removeprefix("sqlite:///"))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(Exception, match=r"malformed|disk I/O error") as raised:
        Ledger(promoters.url).verify(promoters.model, promoters.env)
    assert type(raised.value).__module__ == "components.errors"
