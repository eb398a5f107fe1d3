"""Files by pattern and by partition, night after night: each batch is once in the dataset, and no bad one ever."""

from __future__ import annotations

import errno
import gzip
import io
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from components.data.batch_store import batches_dir
from components.errors import (
    AlreadyRunningError,
    DigestMismatchError,
    InfrastructureError,
    SourceError,
    SuiteError,
    TowpathError,
    ValidationRefusedError,
)
from components.types.batches import Decision
from pipelines.batches.decisions import decide
from pipelines.batches.intake import take_in
from pipelines.batches.tracked import tracked_file
from pipelines.batches.watermark import was_validated
from pipelines.cli.setup import propose
from pipelines.run_lock import alone
from tests.batch_project import BatchProject, csv, rows
from tests.data_project import MODEL

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # DVC's own

FILES = {"kind": "files", "path": "landing/*.csv", "batches": "file"}


def parquet(**columns: Any) -> bytes:
    file = io.BytesIO()
    pl.DataFrame(columns).write_parquet(file)
    return file.getvalue()


def test_each_night_takes_what_is_new_once_and_keeps_what_the_source_forgot(project: BatchProject) -> None:
    project.set_up(FILES)
    first = project.write("landing/2026-01-01.csv", rows(1, 4))
    assert project.night().new == ("landing/2026-01-01.csv",)
    source = project.root / "data" / MODEL / "source.json"
    before = source.read_bytes()
    quiet = project.night()
    assert (quiet.new, quiet.is_refused, quiet.batches, quiet.rows) == ((), False, 1, 4)
    assert source.read_bytes() == before, "a look that found nothing makes a stage stale"
    first.unlink()
    project.write("landing/2026-01-02.csv.gz", gzip.compress(rows(5, 6).encode()))
    project.set_up({**FILES, "path": "landing/*.csv*"})
    second = project.night()
    assert (second.new, second.gone) == (("landing/2026-01-02.csv.gz",), 1)
    assert project.ids() == [1, 2, 3, 4, 5, 6]
    assert tracked_file(MODEL, project.root).is_file()
    assert len(list(batches_dir(MODEL, project.root).iterdir())) == 2


def test_late_and_corrected_batches_come_to_their_place_and_are_recorded(project: BatchProject) -> None:
    project.set_up(FILES)
    project.write("landing/2026-01-02.csv", rows(11, 14))
    project.night()
    project.write("landing/2026-01-01.csv", rows(1, 3))
    project.write("landing/2026-01-02.csv", rows(11, 13, x=0.25))
    intake = project.night()
    assert intake.late == ("landing/2026-01-01.csv",)
    assert intake.corrected == ("landing/2026-01-02.csv",)
    assert project.x() == {1: 0.5, 2: 0.5, 3: 0.5, 11: 0.25, 12: 0.25, 13: 0.25}
    late, corrected = project.chosen.batches
    assert late.late
    assert corrected.corrects == project.chosen.replaced[0].version
    project.night()
    assert [each.corrects for each in project.chosen.batches][1] is not None, "the correction was forgotten"


def test_a_bad_batch_is_left_out_told_once_as_new_and_judged_again_when_it_changes(project: BatchProject) -> None:
    project.set_up(FILES)
    project.write("landing/1.csv", rows(1, 4))
    project.night()
    bad = {
        "landing/2.csv": csv((5, 7.0, "a")),
        "landing/3.csv": "id,x\n6,0.5\n",
        "landing/4.csv": csv((7, "lots", "a")),
        "landing/5.csv": csv((8, 0.5, "a"), (8, 0.5, "b")),
        "landing/6.csv": "id,x,y\n9,0.5,a,too,many\n",
    }
    for name, content in bad.items():
        project.write(name, content)
    refused = project.look()
    assert refused.is_refused
    assert {each.name for each in refused.quarantined} == set(bad)
    words = {each.name: "; ".join(each.reasons) for each in refused.quarantined}
    assert "expect_column_values_to_be_between(x): 1 of 1 values" in words["landing/2.csv"]
    assert "label is column `y`, which is not there" in words["landing/3.csv"]
    assert "landing/4.csv, row 1: column `x` holds 'lots', which is not float64" in words["landing/4.csv"]
    assert "id_unique" in words["landing/5.csv"]
    assert "landing/6.csv" in words["landing/6.csv"]
    again = project.look()
    assert (again.quarantined, len(again.held), again.is_refused) == ((), 5, False)
    assert [batch.name for batch in project.chosen.batches] == ["landing/1.csv"]
    project.write("landing/2.csv", csv((5, 0.7, "a")))
    mended = project.night()
    assert (mended.new, len(mended.held)) == (("landing/2.csv",), 4)
    assert project.ids() == [1, 2, 3, 4, 5]
    assert "landing/2.csv" not in project.quarantine.held


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "landing/2.csv"), SourceError, "landing/2.csv cannot be r"),
        (OSError(errno.ENOSPC, "No space left on device"), InfrastructureError, "No space left on device; nothing"),
        (SourceError("s3://b/2.csv may not be read: 403"), SourceError, "403"),
    ],
)
def test_what_could_not_be_brought_here_is_an_error_of_that_night_and_no_bad_batch(
    project: BatchProject, monkeypatch: pytest.MonkeyPatch, fault: Exception, error: type[TowpathError], words: str
) -> None:
    project.set_up(FILES)
    project.write("landing/1.csv", rows(1, 4))
    project.night()
    project.write("landing/2.csv", rows(5, 6))

    def failing(source: Path, target: Path) -> None:
        raise fault

    with monkeypatch.context() as patch, pytest.raises(error) as raised:
        patch.setattr(shutil, "copyfile", failing)  # stands in for a disk that is full, and for a server's answer
        project.look()
    assert words in str(raised.value)
    assert project.quarantine.entries == ()
    assert project.night().new == ("landing/2.csv",)


def test_a_suite_that_is_drafted_takes_in_nothing_from_quarantine_and_leaves_it_as_it_is(project: BatchProject) -> None:
    project.set_up(FILES)
    project.write("landing/1.csv", rows(1, 4))
    project.write("landing/2.csv", rows(5, 6, x=9))
    project.look()
    before = project.quarantine
    assert set(before.held) == {"landing/2.csv"}
    project.write("landing/3.csv", "id,x\n7,0.5\n")
    intake = take_in(MODEL, project.section, project.root, judge=False)
    assert intake is not None
    assert [each.name for each in (*intake.held, *intake.quarantined)] == ["landing/2.csv", "landing/3.csv"]
    assert [batch.name for batch in project.chosen.batches] == ["landing/1.csv"]
    assert project.quarantine == before, "a look that judges nothing wrote verdicts"


def test_drafting_touches_nothing_without_force_or_beside_a_run(project: BatchProject) -> None:
    project.set_up(FILES)
    project.write("pipelines/configs/trips.yaml", CONFIG)
    project.write("landing/1.csv", rows(1, 4))
    with pytest.raises(SuiteError, match="--force` replaces it"):
        propose(MODEL)
    with alone(MODEL, project.root), pytest.raises(AlreadyRunningError, match="another run of trips is going on"):
        propose(MODEL, force=True)
    assert not (project.root / "data" / MODEL / "source.json").exists()


def test_a_bad_correction_leaves_the_good_rows_as_they_were(project: BatchProject) -> None:
    project.set_up(FILES)
    project.write("landing/1.csv", rows(1, 4))
    project.night()
    project.write("landing/1.csv", rows(1, 4, x=9))
    assert project.look().is_refused
    project.write("landing/2.csv", rows(5, 6))
    assert project.night().new == ("landing/2.csv",)
    assert set(project.x().values()) == {0.5}
    assert len(project.ids()) == 6


def test_a_run_killed_before_validation_takes_its_batch_again_and_it_is_there_once(project: BatchProject) -> None:
    project.set_up(FILES)
    project.write("landing/1.csv", rows(1, 4))
    project.night()
    killed = project.write("landing/2.csv", rows(5, 6))
    project.look()  # killed right after the probe
    assert not was_validated(MODEL, project.root)
    project.ingest()
    project.record("ingest")  # killed between ingest and validate
    assert not was_validated(MODEL, project.root)
    killed.unlink()
    project.write("landing/3.csv", rows(7, 8))
    intake = project.night()
    assert intake.new == ("landing/2.csv", "landing/3.csv")
    assert project.ids() == list(range(1, 9))
    assert project.night().new == ()


def test_a_batch_that_spoils_the_whole_is_held_and_the_next_night_goes_on_without_it(project: BatchProject) -> None:
    project.set_up(FILES)
    project.write("landing/1.csv", rows(1, 4))
    project.night()
    project.write("landing/2.csv", rows(4, 5))  # good by itself; id 4 was there before
    with pytest.raises(ValidationRefusedError, match="id_unique"):
        project.night()
    project.write("landing/3.csv", rows(6, 7))
    intake = project.night()
    assert intake.new == ("landing/3.csv",)
    assert "the dataset as a whole was refused" in intake.held[0].reasons[0]
    assert project.ids() == [1, 2, 3, 4, 6, 7]


def test_another_suite_judges_anew_and_people_may_release_or_drop(project: BatchProject) -> None:
    project.set_up(FILES)
    project.write("pipelines/configs/trips.yaml", CONFIG)
    project.write("landing/1.csv", rows(1, 6))
    project.night()
    project.write("landing/2.csv", rows(7, 8, x=1.5))
    assert project.look().is_refused
    project.suite(highest=2.0)
    assert project.night().new == ("landing/2.csv",)
    decide(MODEL, "landing/2.csv", Decision.DROPPED, "a test drive", project.root, dry_run=True)
    assert project.look().removed == ()
    decide(MODEL, "landing/2.csv", Decision.DROPPED, "a test drive", project.root)
    dropped = project.night()
    assert (dropped.removed, project.ids()) == (("landing/2.csv",), [1, 2, 3, 4, 5, 6])
    project.write("landing/3.csv", rows(9, 10, x=3.0))
    assert project.look().is_refused
    decide(MODEL, "landing/3.csv", Decision.RELEASED, "measured twice", project.root)
    assert project.look().new == ("landing/3.csv",), "what was released is judged by itself all the same"
    with pytest.raises(ValidationRefusedError, match="expect_column_values_to_be_between"):
        project.make()


def test_hive_partitions_are_batches_and_their_keys_columns(project: BatchProject) -> None:
    columns = {"id": "int64", "x": "float64", "y": "string", "day": "timestamp"}
    source = {"kind": "files", "path": "lake/day=*/*.parquet", "batches": "partition"}
    project.set_up(source, columns, types={"day": "timestamp"})
    project.write("lake/day=2026-01-02/a.parquet", parquet(id=[1, 2], x=[0.5, 0.25], y=["a", "b"]))
    project.write("lake/day=2026-01-02/b.parquet", parquet(id=[3], x=[None], y=["b"]))
    project.night()
    assert [str(day)[:10] for day in project.column("day")] == ["2026-01-02"] * 3
    project.write("lake/day=2026-01-02/b.parquet", parquet(id=[3, 4], x=[0.5, 1.0], y=["b", "a"]))
    project.write("lake/day=2026-01-01/a.parquet", parquet(id=[9], x=[0], y=["b"]))
    project.write("lake/day=2026-01-03/a.parquet", b"PAR1 and no more")
    intake = project.night()
    assert (intake.late, intake.corrected) == (("lake/day=2026-01-01",), ("lake/day=2026-01-02",))
    assert [each.name for each in intake.quarantined] == ["lake/day=2026-01-03"]
    assert project.ids() == [9, 1, 2, 3, 4]


def test_damaged_or_missing_bytes_in_the_store_are_noticed(project: BatchProject) -> None:
    project.set_up(FILES)
    project.write("landing/1.csv", rows(1, 4))
    project.night()
    (stored,) = batches_dir(MODEL, project.root).iterdir()
    content = stored.read_bytes()
    stored.write_bytes(content.replace(b"0.5", b"0.6"))
    with pytest.raises(DigestMismatchError):
        project.ingest()
    stored.unlink()
    tracked = tracked_file(MODEL, project.root).read_bytes()
    project.write("landing/2.csv", rows(5, 6))
    for do in (project.ingest, project.look):
        with pytest.raises(SourceError, match="which holds landing/1.csv, is missing; `dvc pull"):
            do()
    assert tracked_file(MODEL, project.root).read_bytes() == tracked, "DVC forgot a batch that is elsewhere"


@pytest.mark.parametrize("had_data", [False, True])
def test_a_pattern_that_matches_nothing_is_a_mistake_until_it_once_matched(
    project: BatchProject, had_data: bool
) -> None:
    project.set_up(FILES)
    if had_data:
        project.write("landing/1.csv", rows(1, 4))
        project.night()
        (project.root / "landing" / "1.csv").unlink()
        assert project.night().gone == 1
    project.set_up({**FILES, "path": "lnading/*.csv"})
    with pytest.raises(SourceError, match=r"no file matches lnading/\*\.csv"):
        project.look()


def test_without_a_good_batch_there_is_no_dataset(project: BatchProject) -> None:
    project.set_up(FILES)
    project.write("landing/1.csv", rows(1, 4, x=9))
    intake = project.look()
    assert (intake.is_refused, intake.batches) == (True, 0)
    assert not (project.root / "data" / MODEL / "source.json").exists()
    assert project.look().is_refused, "a second look trains on nothing"


def test_the_store_holds_what_is_needed_and_no_leftovers(project: BatchProject, tmp_path: Path) -> None:
    project.set_up(FILES)
    project.write("landing/1.csv", rows(1, 4))
    project.night()
    (project.root / "data" / MODEL / ".arriving-killed").mkdir()
    for x in (0.1, 0.2):
        project.write("landing/1.csv", rows(1, 4, x=x))
        project.night()
    assert len(list(batches_dir(MODEL, project.root).iterdir())) == 2  # this version, and the last good one
    assert not list((project.root / "data" / MODEL).glob(".arriving-*"))


CONFIG = """
models:
  trips:
    data: {source: {kind: files, path: "landing/*.csv", batches: file}, id: id, label: y}
    features: {task: binary}
    evaluation: {primary: auc}
    gates: {absolute: {auc: 0.6}}
trainings:
  trips-sklearn: {model: trips, kind: sklearn, architecture: linear}
"""
