"""What runs found of batches against what people decided, and people's decisions in another checkout."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from components.errors import FaultError, UnknownNameError, ValidationRefusedError
from components.stage.files import write_json
from components.types.batches import Batch, BatchedSource, Decision, Unit
from pipelines.batches.decisions import decide, listed
from pipelines.batches.quarantine import (
    Entry,
    add_decisions,
    change_quarantine,
    decisions_file,
    put_decision,
    read_quarantine,
)
from pipelines.batches.telling import write_metrics
from pipelines.cli.batches import app
from pipelines.config import load_model
from pipelines.outcome import Intake
from pipelines.run import _holding
from pipelines.schedules.checkout import KEPT

HELD = Entry("a", "1", Decision.HELD, at="2026-01-02")


def entry(decision: Decision, day: str) -> Entry:
    return Entry("a", "1", decision, at=f"2026-01-{day}")


@pytest.mark.parametrize(
    ("word", "day", "stands"),
    [
        (Decision.RELEASED, "01", Decision.HELD),  # released, taken, and the dataset as a whole refused
        (Decision.RELEASED, "03", Decision.RELEASED),
        (Decision.DROPPED, "01", Decision.DROPPED),
        (Decision.DROPPED, "03", Decision.DROPPED),
    ],
)
def test_a_drop_is_final_and_a_release_holds_until_a_run_knows_better(
    word: Decision, day: str, stands: Decision, tmp_path: Path
) -> None:
    put_decision("boxes", entry(word, day), tmp_path)
    change_quarantine("boxes", lambda record: record.put(HELD), tmp_path)
    (found,) = read_quarantine("boxes", tmp_path).entries
    assert found.decision is stands


def test_a_decision_takes_the_place_of_what_was_found(tmp_path: Path) -> None:
    change_quarantine("boxes", lambda record: record.put(HELD), tmp_path)
    put_decision("boxes", entry(Decision.RELEASED, "02"), tmp_path)
    assert [each.decision for each in read_quarantine("boxes", tmp_path).entries] == [Decision.RELEASED]


def test_of_two_checkouts_the_newest_word_on_a_batch_holds(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    put_decision("boxes", entry(Decision.DROPPED, "05"), there)
    put_decision("boxes", Entry("b", "1", Decision.DROPPED), there)
    put_decision("boxes", entry(Decision.RELEASED, "04"), here)
    put_decision("boxes", Entry("c", "1", Decision.DROPPED), here)
    add_decisions("boxes", here, there)
    decided = {each.name: each.decision for each in read_quarantine("boxes", there).entries}
    assert decided == dict.fromkeys("abc", Decision.DROPPED)
    add_decisions("boxes", tmp_path / "nowhere", there)


def test_damaged_decisions_stop_a_run_and_are_not_forgotten(tmp_path: Path) -> None:
    put_decision("boxes", HELD, tmp_path)
    decisions_file("boxes", tmp_path).write_text("{")
    with pytest.raises(FaultError, match="restore it from git"):
        read_quarantine("boxes", tmp_path)


CONFIG = """
models:
  boxes:
    data: {source: {kind: files, path: "/landing/*.csv", batches: file}, id: id, label: kind}
    features: {task: binary}
    evaluation: {primary: auc}
    gates: {absolute: {auc: 0.6}}
trainings:
  boxes-sklearn: {model: boxes, kind: sklearn, architecture: linear}
"""


def probed(path: Path, **versions: str) -> None:
    batches = tuple(Batch(name, version, (), 10) for name, version in versions.items())
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, BatchedSource("files", "/landing/*.csv", Unit.FILE, batches, tuple(versions)))


@pytest.fixture
def incremental(tmp_path: Path) -> Path:
    (tmp_path / "pipelines/configs").mkdir(parents=True)
    (tmp_path / "pipelines/configs/boxes.yaml").write_text(CONFIG)
    return tmp_path


def test_what_is_held_with_the_whole_is_listed_once_and_not_as_new(incremental: Path) -> None:
    probed(incremental / "data/boxes/source.json", a="1")
    probed(incremental / KEPT / "boxes/source.json", a="1", b="1")
    before = [(each.name, each.state) for each in listed("boxes", incremental)]
    assert before == [("a", "new"), ("b", "new")]
    held = (Entry("a", "1", Decision.HELD), Entry("b", "1", Decision.HELD))
    change_quarantine("boxes", lambda record: record.put(*held), incremental)
    rows = [(each.name, each.state, each.rows) for each in listed("boxes", incremental)]
    assert rows == [("a", "held", 10), ("b", "held", 10)]


@pytest.mark.parametrize("name", ["1.csv", "1", "day/1.cvs"])
def test_a_batch_named_by_the_end_of_its_path_is_asked_about(name: str, incremental: Path) -> None:
    probed(incremental / "data/boxes/source.json", **{"lake/day/1.csv": "1"})
    with pytest.raises(UnknownNameError, match=r"did you mean `lake/day/1\.csv`"):
        decide("boxes", name, Decision.DROPPED, "spoilt", incremental)


def test_a_release_says_that_the_whole_must_still_meet_the_suite(
    incremental: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_quarantine("boxes", lambda record: record.put(HELD), incremental)
    monkeypatch.chdir(incremental)
    done = CliRunner().invoke(app, ["release", "boxes", "a", "-m", "a busy day"])
    assert done.exit_code == 0
    assert "is released; the whole dataset with it must still meet the suite; commit" in done.stderr


def test_what_is_held_with_the_whole_is_in_the_figures_at_once(incremental: Path) -> None:
    batches = tuple(Batch(name, "1", (), 10) for name in "ab")
    path = incremental / "data/boxes/source.json"
    path.parent.mkdir(parents=True)
    write_json(path, BatchedSource("files", "/landing/*.csv", Unit.FILE, batches, ("b",)))
    write_json(path.with_name("expectations.json"), {})
    intake = Intake("boxes", 2, 20, ("b",), (), (), (), (), (), 0)
    figures = write_metrics(intake, incremental)
    assert 'towpath_batches_quarantined{model="boxes"} 0.0' in figures.read_text()
    with (
        pytest.raises(ValidationRefusedError, match=r"so what was new is QUARANTINED \(b\)"),
        _holding(load_model("boxes", incremental), intake, incremental),
    ):
        raise ValidationRefusedError("the dataset was refused")
    assert 'towpath_batches_quarantined{model="boxes"} 1.0' in figures.read_text()


def test_what_scheduled_runs_took_is_listed_and_can_be_dropped(incremental: Path) -> None:
    probed(incremental / "data/boxes/source.json", a="1", b="1")
    probed(incremental / KEPT / "boxes/source.json", a="1", b="2", c="1")
    rows = [(each.name, each.version, each.notes) for each in listed("boxes", incremental)]
    scheduled = ("by a scheduled run",)
    assert rows == [("a", "1", ()), ("b", "1", ()), ("b", "2", scheduled), ("c", "1", scheduled)]
    for name, version in (("b", "2"), ("c", "1")):
        assert decide("boxes", name, Decision.DROPPED, "spoilt", incremental).version == version
    with pytest.raises(UnknownNameError, match="no batch `d` of boxes is in quarantine or in the dataset"):
        decide("boxes", "d", Decision.DROPPED, "spoilt", incremental)
