"""What people decide of batches, and what a source forgets meanwhile: no bytes that are needed are lost."""

from __future__ import annotations

import shutil

import pytest
from dvc.repo import Repo

from components.data.batch_store import batches_dir
from components.errors import ValidationRefusedError
from components.types.batches import Decision
from pipelines.batches.decisions import decide
from pipelines.batches.quarantine import QUARANTINE
from tests.batch_project import COLUMNS, BatchProject, rows
from tests.data_project import MODEL

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # DVC's own

FILES = {"kind": "files", "path": "landing/*.csv", "batches": "file"}
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


def test_what_was_held_with_the_whole_waits_in_the_store_and_is_released_after_the_source_forgot_it(
    project: BatchProject,
) -> None:
    project.set_up(FILES)
    project.write("pipelines/configs/trips.yaml", CONFIG)
    project.write("landing/1.csv", rows(1, 4))
    project.night()
    spoils = project.write("landing/2.csv", rows(5, 44, x=1.0))  # good by itself; too high a mean of the whole
    with pytest.raises(ValidationRefusedError, match="expect_column_mean_to_be_between"):
        project.night()
    spoils.unlink()
    assert [each.name for each in project.night().held] == ["landing/2.csv"]
    project.write("landing/3.csv", rows(45, 94, x=0.1))
    assert [each.name for each in project.night().held] == ["landing/2.csv"], "nobody released it, and it is lost"
    assert project.ids() == [*range(1, 5), *range(45, 95)]
    decide(MODEL, "landing/2.csv", Decision.RELEASED, "a busy day", project.root)
    assert project.night().new == ("landing/2.csv",)
    assert project.ids() == list(range(1, 95))
    assert project.chosen.held == ()


def test_a_drop_is_of_one_version_and_holds_in_another_checkout(project: BatchProject) -> None:
    project.set_up(FILES)
    project.write("pipelines/configs/trips.yaml", CONFIG)
    project.write("landing/1.csv", rows(1, 4))
    project.write("landing/2.csv", rows(5, 6))
    project.night()
    project.write("landing/2.csv", rows(5, 6, x=9.0))
    project.look()
    correction = decide(MODEL, "landing/2.csv", Decision.DROPPED, "wrong", project.root)
    taken = decide(MODEL, "landing/2.csv", Decision.DROPPED, "wrong as well", project.root, dry_run=True)
    assert (correction.stays, taken.stays) == (taken.version, None)
    project.night()
    assert project.ids() == [1, 2, 3, 4, 5, 6]
    decide(MODEL, "landing/2.csv", Decision.DROPPED, "wrong as well", project.root)
    project.night()
    assert project.ids() == [1, 2, 3, 4]
    shutil.rmtree(project.root / QUARANTINE)  # it is the machine's; another checkout has what is in git
    for x in (9.0, 0.5):
        project.write("landing/2.csv", rows(5, 6, x=x))
        elsewhere = project.look()
        assert (elsewhere.new, elsewhere.quarantined) == ((), ()), "what was dropped is taken or judged again"


def test_dvc_tracks_a_correction_of_the_same_size(project: BatchProject) -> None:
    project.set_up(FILES)
    project.write("landing/1.csv", rows(1, 4))
    project.night()
    for x in (0.1, 0.2, 0.3):  # from the second on, one goes as one comes
        project.write("landing/1.csv", rows(1, 4, x=x))
        project.night()
        with Repo(str(project.root)) as repository:
            (out,) = repository.find_outs_by_path(str(batches_dir(MODEL, project.root)))
            tracked = {"/".join(key) for key, _, _ in out.get_obj()}
        assert tracked == {path.name for path in batches_dir(MODEL, project.root).iterdir()}


def test_a_partition_that_expires_file_by_file_keeps_its_rows(project: BatchProject) -> None:
    project.set_up({"kind": "files", "path": "lake/day=*/*.csv", "batches": "partition"}, {**COLUMNS, "day": "int64"})
    project.write("lake/day=1/a.csv", rows(1, 4))
    expired = project.write("lake/day=1/b.csv", rows(5, 6))
    project.night()
    expired.unlink()
    assert project.night().corrected == ()
    assert project.ids() == [1, 2, 3, 4, 5, 6]
