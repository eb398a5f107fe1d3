"""Check a whole project: configuration, release plans, environments, dvc.yaml, suites, architectures."""

from __future__ import annotations

from pathlib import Path

import yaml

from components.errors import BadInputError
from components.release.plan import PLANS_DIR, load_plan
from components.training.core.config import task_parameters
from pipelines.config import ModelConfig, load_model, model_names
from pipelines.release.environment_check import environment_problems


def project_problems(root: Path = Path()) -> list[str]:
    """Return one sentence for each thing that is wrong; empty when the project is in order."""
    problems: list[str] = []
    names = model_names(root)
    if not names:
        problems.append("pipelines/configs holds no model; add one YAML file per model")
    for name in names:
        try:
            problems.extend(_model_problems(load_model(name, root), root))
        except BadInputError as error:
            problems.append(str(error))
    return [*problems, *_pipeline_problems(names, root), *_plan_problems(root), *environment_problems(root)]


def _plan_problems(root: Path) -> list[str]:
    problems = []
    for path in sorted((root / PLANS_DIR).glob("*.yaml")):
        try:
            load_plan(path.stem, root)
        except BadInputError as error:
            problems.append(str(error))
    return problems


def _model_problems(config: ModelConfig, root: Path) -> list[str]:
    problems = []
    if not (root / "data" / config.name / "expectations.json").is_file():
        problems.append(
            f"data/{config.name}/expectations.json is missing; draft it with `towpath suite propose {config.name}`"
        )
    for key, training in config.trainings.items():
        try:
            task_parameters(training, f"{config.path}: key `trainings.{key}`", root)
        except BadInputError as error:
            problems.append(str(error))
        folder = Path("components/training") / training.kind
        if not (root / folder).is_dir():
            problems.append(
                f"{config.path}: training `{key}` needs the folder {folder}, as docs/trainer-author.md shows"
            )
    return problems


def _pipeline_problems(names: list[str], root: Path) -> list[str]:
    listed = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8")).get("vars", [])
    expected = {f"pipelines/configs/{name}.yaml" for name in names}
    missing = [
        f"dvc.yaml: add `- {path}` under `vars`, or DVC does not see it" for path in sorted(expected - set(listed))
    ]
    stale = [f"dvc.yaml: `{path}` under `vars` is not there" for path in sorted(set(listed) - expected)]
    return missing + stale
