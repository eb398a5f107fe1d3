"""Nights of a model whose source is incremental, through the real command: good, bad, nothing, both; then elsewhere."""

import json
import shutil
import subprocess

import pytest

from components.data.batch_source import read_batched
from components.data.batch_store import batches_dir
from pipelines.batches.intake import take_in
from pipelines.config import load_model
from pipelines.schedules.checkout import CHECKOUTS, open_checkout, resolve
from tests.e2e.conftest import Project
from tests.e2e.test_refusals import row

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")]

CONFIG = """
models:
  boxes:
    data: {{source: {{kind: files, path: "{landing}/*.csv", batches: file}}, id: id, label: kind}}
    features: {{task: binary}}
    evaluation: {{primary: auc}}
    gates: {{absolute: {{auc: 0.6}}, champion: null}}
trainings:
  boxes-sklearn: {{model: boxes, kind: sklearn, architecture: linear}}
"""


def batch(project: Project, name: str, first: int, last: int, spoil: str = "") -> None:
    lines = "".join(row(number) for number in range(first, last))
    project.write(f".towpath/landing/{name}.csv", "id,width,height,colour,kind\n" + lines + spoil)


@pytest.fixture(scope="module")
def boxes(served_project: Project) -> Project:
    project = served_project
    batch(project, "night-1", 0, 400)
    project.write("pipelines/configs/boxes.yaml", CONFIG.format(landing=project.root / ".towpath/landing"))
    lines = (project.root / "dvc.yaml").read_text().replace("vars:", "vars:\n  - pipelines/configs/boxes.yaml #", 1)
    project.write("dvc.yaml", lines)
    project.towpath("suite", "propose", "boxes")
    project.git("add", "--all")
    project.git("commit", "--quiet", "--message", "boxes")
    return project


def states(project: Project) -> dict[str, str]:
    return {each["name"].rpartition("/")[2]: each["state"] for each in project.json("batches", "list", "boxes")}


def test_four_nights(boxes: Project) -> None:
    first = boxes.json("run", "boxes")
    assert (first["version"], first["batches"]["rows"]) == (1, 400)
    assert states(boxes) == {"night-1.csv": "good"}

    batch(boxes, "night-2", 400, 500, spoil="500,1e9,3,red,a\n")
    bad = boxes.towpath("run", "boxes", code=4)
    assert "QUARANTINED: batch " in bad.stderr
    assert "night-2.csv: expect_column_values_to_be_between(width): 1 of 101 values" in bad.stderr
    assert "nothing was trained" in bad.stderr
    assert "train@" not in bad.stderr
    assert states(boxes) == {"night-1.csv": "good", "night-2.csv": "held"}
    metrics = (boxes.root / ".towpath/schedules/batches-boxes.prom").read_text()
    assert 'towpath_batches_quarantined{model="boxes"} 1.0' in metrics

    nothing = boxes.towpath("run", "boxes")
    assert "still in quarantine: batch " in nothing.stderr
    assert "boxes: nothing to do; version 1 is stable locally" in nothing.stderr

    batch(boxes, "night-3", 500, 600)
    both = boxes.json("run", "boxes")
    assert (both["version"], both["batches"]["rows"]) == (2, 500)
    assert [each["name"].rpartition("/")[2] for each in both["batches"]["held"]] == ["night-2.csv"]
    assert "night-2.csv" in (boxes.root / "reports/boxes/run.html").read_text()
    ours = [*(stage["stage"] for stage in both["stages"]), "data/boxes/batches.dvc"]
    assert json.loads(boxes.dvc("status", "--json", *ours)) == {}, "`dvc repro` would do something else"
    tracked = boxes.git("status", "--porcelain", "--untracked-files=all")
    assert "data/boxes/batches.dvc" in tracked
    assert "batches/" not in tracked
    boxes.towpath("batches", "release", "boxes", "night-2", "--reason", "no", code=2)


def test_another_checkout_goes_on_from_the_batches_that_were_pushed(boxes: Project, monkeypatch) -> None:
    boxes.git("add", "--all")
    boxes.git("commit", "--quiet", "--message", "two nights")
    commit = resolve("HEAD", boxes.root)
    with open_checkout("boxes", commit, boxes.root) as checkout:
        checkout.pull()
        batch(boxes, "night-4", 600, 620)
        intake = take_in("boxes", load_model("boxes", checkout.folder).model.data, checkout.folder)
        assert [name.rpartition("/")[2] for name in intake.new] == ["night-4.csv"]
        checkout.keep_batches()  # as a run does that a gate refused
    shutil.rmtree(boxes.root / CHECKOUTS)
    shutil.rmtree(boxes.root / ".towpath/landing")  # the source forgets
    with open_checkout("boxes", commit, boxes.root) as checkout:
        checkout.pull()
        take_in("boxes", load_model("boxes", checkout.folder).model.data, checkout.folder)
        chosen, _ = read_batched("boxes", checkout.folder)
        assert [each.rows for each in chosen.batches] == [400, 100, 20]
        assert len(chosen.new) == 1
        assert len(list(batches_dir("boxes", checkout.folder).iterdir())) == 3
        command = [boxes.command()[0], "-m", "components.data", "boxes"]
        done = subprocess.run(command, cwd=checkout.folder, env=boxes.environment, capture_output=True, text=True)
        assert "520 rows" in done.stdout, done.stderr
