"""A publisher dies, or its disk fails, at any of its changes: servers see a whole state, and a repetition ends it."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from components.errors import StaleRevisionError
from components.release.publishers.repository import TritonRepository
from tests.dying import DONE, DONE_ALL_THE_SAME, REFUSED, die_at
from tests.publications import KINDS, Kind, served, tree


@pytest.fixture(params=sorted(KINDS))
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Kind:
    return KINDS[request.param](tmp_path)


FULL = os.environ.get("TOWPATH_FULL") == "1"


def _steps(by: str) -> range:
    """Return every step when everything is wanted, else some: not the same ones for deaths and for disk errors."""
    return range(1, 500) if FULL else range(1 if by == "death" else 6, 500, 11)


@pytest.mark.slow
@pytest.mark.parametrize("by", ["death", "disk full"])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"stable": 1, "canary": 2}),
        ({"stable": 1, "canary": 2}, {"stable": 2}),
        ({"stable": 2}, {"stable": 1, "canary": 3}),
    ],
)
def test_after_a_death_or_a_disk_error_at_any_step_servers_see_a_whole_state_and_a_repetition_ends_it(
    kind: Kind, tmp_path: Path, before: dict[str, int], after: dict[str, int], by: str
) -> None:
    template, straight = tmp_path / "template", tmp_path / "straight"
    base = tmp_path / "repository"
    kind.open(base).publish(kind.publication(1, model="adult", stable=3))
    if before:
        kind.open(base).publish(kind.publication(1, **before))
    base.rename(template)
    shutil.copytree(template, base)
    publication = kind.publication(2, **after)
    kind.open(base).publish(publication)
    base.rename(straight)
    failed = 0
    for step in _steps(by):
        shutil.copytree(template, base)
        code = die_at(step, lambda: kind.open(base).publish(publication), by=by)
        assert code in {DONE, DONE_ALL_THE_SAME, REFUSED, -signal.SIGKILL}
        seen = served(base)
        assert seen.pop("adult") == {"stable": 3}
        assert set(seen) <= {"taxi"}
        for label, version in seen.get("taxi", {}).items():
            assert version in {before.get(label), after.get(label)}
        if kind.open is TritonRepository and before:
            assert "stable" in seen["taxi"]  # never without an answer
        try:
            kind.open(base).publish(kind.publication(1, **before or {"stable": 3}))
        except StaleRevisionError:
            pass
        else:
            assert seen.get("taxi", {}) == before, "a late publisher undid what was begun"
        kind.open(base).publish(kind.publication(2, model="adult", stable=3))  # another model is not held up
        assert served(base)["adult"] == {"stable": 3}
        kind.open(base).publish(publication)
        assert served(base) == {"adult": {"stable": 3}, "taxi": after}
        left = {name for name in tree(base) if name not in tree(straight)}
        assert left == set()
        shutil.rmtree(base)
        if code == DONE:
            break
        failed += 1
    else:
        pytest.fail("the publication never came to its end")
    assert failed >= 2
