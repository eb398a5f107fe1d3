"""How long an MLflow server may keep whoever has more urgent things to do: set for a block, and gone afterwards."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from components.tracking.connection import time_limit

RETRIES, TIMEOUT = "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"


def variables() -> tuple[str, str]:
    return os.environ[RETRIES], os.environ[TIMEOUT]


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (RETRIES, TIMEOUT):
        monkeypatch.setenv(name, "")  # so that it is put back after the test, whatever that sets
        monkeypatch.delenv(name)


def test_a_block_has_the_limit_and_what_comes_after_it_our_own_defaults() -> None:
    with time_limit(5):
        assert variables() == ("0", "5")
    assert variables() == ("4", "60")


@pytest.mark.parametrize(("own", "within"), [("3", "3"), ("600", "5")])
def test_the_users_own_limit_is_lowered_never_raised_and_put_back(
    monkeypatch: pytest.MonkeyPatch, own: str, within: str
) -> None:
    monkeypatch.setenv(TIMEOUT, own)
    monkeypatch.setenv(RETRIES, "7")
    with pytest.raises(KeyError), time_limit(5):
        assert variables() == ("0", within)
        raise KeyError
    assert variables() == ("7", own)


def test_blocks_in_one_another_and_beside_one_another_leave_nothing_behind() -> None:
    def one(_: int) -> tuple[str, str]:
        with time_limit(5), time_limit(30):
            return variables()

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(one, range(200))) == {("0", "5")}
    assert variables() == ("4", "60")
