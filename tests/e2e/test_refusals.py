"""Bad input of each kind, through the real command: one sentence, the exit code, and nothing changed."""

import subprocess

import pytest

from tests.e2e.conftest import Project

pytestmark = pytest.mark.slow


def row(number: int) -> str:
    width, height, colour = (number % 17) / 3 + number % 2, (number % 11) / 2, "red" if number % 3 else "blue"
    kind = "a" if width + height + (number * 7919 % 13) / 2 > 8 else "b"
    return f"{number},{width},{height},{colour},{kind}\n"


CSV = "id,width,height,colour,kind\n" + "".join(row(number) for number in range(600))
CONFIG = """
models:
  boxes:
    data: {source: {kind: files, path: data/boxes/boxes.csv}, id: id, label: kind}
    features: {task: binary}
    evaluation: {primary: auc}
    gates: {absolute: {auc: 0.6}}
trainings:
  boxes-sklearn: {model: boxes, kind: sklearn, architecture: linear}
"""


@pytest.fixture(scope="module")
def boxes(served_project: Project) -> Project:
    project = served_project
    project.write("data/boxes/boxes.csv", CSV)
    project.write("pipelines/configs/boxes.yaml", CONFIG)
    lines = (project.root / "dvc.yaml").read_text().replace("vars:", "vars:\n  - pipelines/configs/boxes.yaml #", 1)
    project.write("dvc.yaml", lines)
    project.towpath("suite", "propose", "boxes")
    project.git("add", "--all")
    project.git("commit", "--quiet", "--message", "boxes")
    return project


def state(project: Project) -> str:
    return project.git("status", "--porcelain") + project.git("diff")


def test_an_own_table_becomes_a_version(boxes: Project) -> None:
    assert boxes.json("run", "boxes")["version"] == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "boxs"], "did you mean `boxes`?"),
        (["run", "boxes", "--only", "kears"], "no training `kears`"),
        (["run", "boxes", "--force", "trian"], "did you mean `train`?"),
        (["run", "boxes", "--set", "sklearn.epoch=3"], "did you mean `epochs`?"),
        (["run", "boxes", "--set", "sklearn.seed=many"], "seed"),
        (["run", "boxes", "--set", "sklearn.seed"], "has no `=`"),
        (["explain", "nothing"], "no model `nothing`"),
        (["reproduce", "boxes", "7"], "7"),
        (["serve", "digits", "--detach"], "digits has no stable version"),
        (["predict", "boxes", "missing.csv"], "missing.csv"),
        (["predict", "boxes", "data/boxes/boxes.csv", "--version", "9"], "no version 9"),
        (["register", "boxes", "--training", "nope"], "no training `nope`"),
    ],
)
def test_bad_input_is_one_sentence_and_changes_nothing(boxes: Project, arguments: list[str], words: str) -> None:
    before = state(boxes)
    done = boxes.towpath(*arguments, code=2)
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2
    assert state(boxes) == before


def test_bad_rows_stop_the_run_before_anything_is_trained(boxes: Project) -> None:
    path = boxes.root / "data/boxes/boxes.csv"
    good = path.read_text()
    path.write_text(good.replace("\n5,", "\n4,", 1))
    done = boxes.towpath("run", "boxes", code=4)
    assert "id" in done.stderr
    assert "train@" not in done.stderr
    assert boxes.json("compare", "boxes")["versions"][0]["standing"] == "stable"
    path.write_text(good)
    assert boxes.json("run", "boxes")["version"] == 1


def test_a_model_below_its_bound_is_refused_and_nothing_is_registered(boxes: Project) -> None:
    boxes.towpath("run", "boxes", "--set", "gates.absolute.auc=0.999999", code=4)
    assert len(boxes.json("compare", "boxes")["versions"]) == 1
    boxes.git("checkout", "--", "pipelines/configs")


def test_a_damaged_dataset_is_noticed_where_it_is_used(boxes: Project) -> None:
    table = boxes.root / "data/boxes/dataset/table.parquet"
    table.chmod(0o644)
    content = bytearray(table.read_bytes())
    content[len(content) // 2] ^= 1
    table.write_bytes(bytes(content))
    command = [boxes.command()[0], "-m", "components.features", "boxes"]
    done = subprocess.run(command, cwd=boxes.root, env=boxes.environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "digest" in done.stderr
    assert boxes.json("run", "boxes")["version"] == 1
