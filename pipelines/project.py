"""Check a whole project: every configuration file, dvc.yaml, suites, architectures. Changes nothing."""

from __future__ import annotations

from pathlib import Path

import yaml

from components.errors import BadInputError
from pipelines.config import ModelConfig, load_model, model_names


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
    return problems + _pipeline_problems(names, root)


def _model_problems(config: ModelConfig, root: Path) -> list[str]:
    problems = []
    if not (root / "data" / config.name / "expectations.json").is_file():
        problems.append(
            f"data/{config.name}/expectations.json is missing; draft it with `towpath suite propose {config.name}`"
        )
    for key, training in config.trainings.items():
        needed = [
            Path("components/models") / training.kind / f"{training.architecture}.py",
            Path("components/training") / f"{training.kind}_trainer.py",
            Path("components/training") / f"{training.kind}_export.py",
        ]
        for path in needed:
            if not (root / path).is_file():
                found = sorted(each.stem for each in (root / path.parent).glob("[!_]*.py"))
                problems.append(
                    f"{config.path}: training `{key}` needs {path}; there are: {', '.join(found) or 'none'}"
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
