"""A form that waits in Prefect for an approval which the ledger has: its waiting ends, whatever fails in between."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import httpx
import pytest
from prefect.exceptions import PrefectException

from components.errors import InfrastructureError
from pipelines import rollouts


@pytest.mark.parametrize(
    "error",
    [httpx.ConnectError("refused"), PrefectException("locked"), InfrastructureError("the ledger is locked")],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("fails", ["_is_decided", "_resume"])
def test_a_look_that_fails_is_followed_by_one_that_ends_the_waiting(
    error: Exception, fails: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors, resumed, run_id = [error], [], uuid4()

    def trouble(name: str) -> None:
        if name == fails and errors:
            raise errors.pop()

    def is_decided(*_: object) -> bool:
        trouble("_is_decided")
        return True

    def resume(which: UUID) -> None:
        trouble("_resume")
        resumed.append(which)

    monkeypatch.setattr(rollouts, "_LOOK_S", 0.0)
    monkeypatch.setattr(rollouts, "_is_decided", is_decided)
    monkeypatch.setattr(rollouts, "_resume", resume)
    rollouts._watch_ledger(cast("Any", None), Path(), run_id, threading.Event())
    assert not errors
    assert resumed == [run_id]
