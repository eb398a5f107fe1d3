"""A stage depends on all code that makes its output: what its program imports is among its deps in `dvc.yaml`."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
STAGES = {name: stage["do"] for name, stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items()}
ARCHITECTURES = [
    (path.parent.name, path.stem)
    for path in sorted((ROOT / "components/models").glob("*/*.py"))
    if not path.stem.startswith("_")
]
CHECKS = {
    "train": {
        # once a product is made, it is asked and compared with the framework by these; no byte of it depends on them
        "components/runtime/arrow_arrays.py",
        "components/runtime/batch.py",
        "components/runtime/table.py",
        "components/runtime/tensors.py",
    }
}
"""Code that is imported only to check what a stage made."""


@pytest.mark.parametrize("stage", [name for name in STAGES if name != "train"])
def test_stage_depends_on_what_it_imports(stage):
    assert undeclared(stage, STAGES[stage]["deps"], [entry(stage)]) == []


@pytest.mark.parametrize(("kind", "architecture"), ARCHITECTURES)
def test_training_depends_on_what_it_imports(kind, architecture):
    names = {"${item.kind}": kind, "${item.architecture}": architecture}
    deps = []
    for dep in STAGES["train"]["deps"]:
        for name, value in names.items():
            dep = dep.replace(name, value)
        deps.append(dep)
    package = ROOT / "components/training" / kind
    starts = [
        entry("train"),
        ROOT / f"components/training/{kind}_trainer.py",
        ROOT / f"components/models/{kind}/{architecture}.py",
        *package.glob("*.py"),
    ]

    assert undeclared("train", deps, starts) == []


def test_what_only_checks_is_named_because_it_is_imported():
    found = {name for kind, _ in ARCHITECTURES for name in closure([entry("train"), trainer(kind)])}

    assert CHECKS["train"] <= found


def entry(stage: str) -> Path:
    words = STAGES[stage]["cmd"].split()
    return ROOT.joinpath(*words[words.index("-m") + 1].split("."), "__main__.py")


def trainer(kind: str) -> Path:
    return ROOT / f"components/training/{kind}_trainer.py"


def undeclared(stage: str, deps: list[str], starts: Iterable[Path]) -> list[str]:
    """Return the modules that are imported, and are neither a dependency nor a check."""
    covered = [*deps, *CHECKS.get(stage, ())]
    return sorted(
        name for name in closure(starts) if not any(name == dep or name.startswith(f"{dep}/") for dep in covered)
    )


def closure(starts: Iterable[Path]) -> set[str]:
    """Return the project's modules that some import, wherever in a file; a package's own only says what it is."""
    found: set[Path] = set()
    waiting = [path for path in starts if path.is_file()]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += imported(path)
    return {path.relative_to(ROOT).as_posix() for path in found if path.name != "__init__.py"}


def imported(path: Path) -> Iterator[Path]:
    for node in ast.walk(ast.parse(path.read_text())):
        names = [each.name for each in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{name}" for name in names)]
        for name in names:
            if name.partition(".")[0] in ("components", "pipelines"):
                yield from module_files(ROOT.joinpath(*name.split(".")))


def module_files(path: Path) -> list[Path]:
    return [file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()]
