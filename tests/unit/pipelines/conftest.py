"""A small project with one model, enough for everything that reads configuration and runs nothing."""

from pathlib import Path

import pytest

CONFIG = """\
models:
  boxes:
    data: {source: {kind: files, path: boxes.csv}, id: id, label: kind}
    features: {task: binary}            # a comment that stays
    evaluation: {primary: auc}
    gates: {absolute: {auc: 0.6}}
trainings:
  boxes-sklearn: {model: boxes, kind: sklearn, architecture: linear}
  boxes-keras: {model: boxes, kind: keras, architecture: mlp, epochs: 60}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    configs = tmp_path / "pipelines/configs"
    configs.mkdir(parents=True)
    (configs / "boxes.yaml").write_text(CONFIG)
    (tmp_path / "dvc.yaml").write_text("vars:\n  - pipelines/configs/boxes.yaml\nstages: {}\n")
    (tmp_path / "data/boxes").mkdir(parents=True)
    (tmp_path / "data/boxes/expectations.json").write_text("{}")
    here = Path(__file__).resolve().parents[3]
    for folder in (
        "components/training",
        "components/models",
        "pipelines/configs/environments",
        "pipelines/configs/plans",
    ):
        (tmp_path / folder).parent.mkdir(exist_ok=True)
        (tmp_path / folder).symlink_to(here / folder)
    return tmp_path
