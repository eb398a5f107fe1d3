"""The story of a newcomer: one command, and real data has become a served champion. The tests build on one another."""

import json
import os
import re
import subprocess
from collections.abc import Callable

import pytest

from tests.e2e.conftest import Project

pytestmark = pytest.mark.slow
FULL = os.environ.get("TOWPATH_FULL") == "1"


@pytest.fixture(scope="module")
def project(make_project: Callable[..., Project]) -> Project:
    return make_project("project", newcomer=True)


@pytest.fixture(scope="module")
def first(project: Project) -> dict:
    return project.json("run", "breast_cancer")


def test_a_dry_run_says_what_would_run_and_changes_nothing(project: Project) -> None:
    plan = project.json("run", "breast_cancer", "--dry-run")
    assert len(plan) == 9
    assert not (project.root / "out").exists()
    assert not (project.root / ".towpath/ledger.db").exists()


def test_the_first_run_registers_a_winner_among_three_trainings(first: dict) -> None:
    assert len([stage for stage in first["stages"] if stage["stage"].startswith("train@")]) == 3
    assert {stage["verdict"] for stage in first["stages"]} == {"ran"}
    assert first["version"] == 1
    assert first["verdicts"]
    assert all(verdict["passed"] and verdict["reasons"] for verdict in first["verdicts"])
    gates = {verdict["gate"] for verdict in first["verdicts"]}
    assert gates == {"evidence", "absolute", "baseline", "champion", "parity", "size", "latency"}


def test_afterwards_dvc_has_nothing_to_do(project: Project, first: dict) -> None:
    stages = [stage["stage"] for stage in first["stages"]]
    assert json.loads(project.dvc("status", "--json", *stages)) == {}


def test_a_second_run_is_decided_without_prefect_and_mlflow(project: Project, first: dict) -> None:
    command = project.command("run", "breast_cancer", "--json")
    command[1:1] = ["-X", "importtime"]
    done = subprocess.run(
        command, cwd=project.root, env=project.environment, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["up_to_date"]
    imported = {
        line.rsplit("|", 1)[-1].strip().split(".")[0] for line in done.stderr.splitlines() if "import time" in line
    }
    assert "dvc" in imported
    assert imported.isdisjoint({"prefect", "mlflow", "tensorflow", "keras", "torch", "lightning", "sklearn"})


def test_a_dry_override_says_what_it_would_make_stale(project: Project, first: dict) -> None:
    plan = project.json("run", "breast_cancer", "--dry-run", "--set", "keras.epochs=2")
    assert set(plan) == {"train@breast_cancer-keras", "evaluate@breast_cancer-keras"}
    assert project.git("diff", "--stat", "--", "pipelines") == ""


def test_a_run_leaves_nothing_untracked_but_what_git_ignores(project: Project, first: dict) -> None:
    assert project.git("status", "--porcelain").split() == ["M", "dvc.lock"]


def test_dvc_repro_alone_gives_the_same_files_and_leaves_the_flow_nothing_to_recompute(
    project: Project, first: dict
) -> None:
    before = (project.root / "dvc.lock").read_text()
    slow = () if FULL else ("-keras", "-lightning")  # whose bytes are the same again in the contract tests
    stages = [stage["stage"] for stage in first["stages"] if not stage["stage"].endswith(slow)]
    assert len(stages) >= 5
    project.dvc("repro", "--force", "--single-item", *stages)
    assert (project.root / "dvc.lock").read_text() == before
    assert project.json("run", "breast_cancer")["up_to_date"]


def test_the_version_carries_its_whole_lineage(project: Project, first: dict) -> None:
    script = f"""
import json, tempfile
from pathlib import Path
from components.registry.registry import Registry
from components.types.record import dump
from pipelines.recording import open_tracker
tracker = open_tracker(Path())
client = tracker.connection.client
registry = Registry(tracker.connection)
folder = Path(tempfile.mkdtemp()) / "lineage"
lineage = registry.fetch_lineage("breast_cancer", 1, folder)
run = client.get_run({first["mlflow_run_id"]!r})
children = client.search_runs(
    [run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{{run.info.run_id}}'")
print(json.dumps({{
    "lineage": dump(lineage), "files": sorted(path.name for path in folder.iterdir()), "tags": dict(run.data.tags),
    "children": {{child.info.run_name: [child.info.status, sorted(child.data.metrics)] for child in children}},
    "aliases": {{k: int(v) for k, v in client.get_registered_model("breast_cancer").aliases.items()}},
}}))
"""
    command = [*project.command()[:1], "-c", script]
    done = subprocess.run(
        command, cwd=project.root, env=project.environment, capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    lineage = found["lineage"]
    assert lineage["git_commit"] == project.git("rev-parse", "HEAD").strip()
    assert lineage["patch_digest"] == ""
    assert {"dvc.lock", "verdict.json", "evaluation.json", "lineage.json", "breast_cancer.yaml"} <= set(found["files"])
    locks = {path.relative_to(project.root).as_posix() for path in (project.root / "infra/locks").glob("*.txt")}
    assert {"infra/locks/main.txt", "infra/locks/torch.txt"} < set(lineage["lock_digests"]) == locks
    assert found["tags"]["prefect.flow_run_id"] == first["flow_run_id"]
    assert found["aliases"] == {"champion": 1}
    assert len(found["children"]) == 3
    for status, metrics in found["children"].values():
        assert status == "FINISHED"
        assert {"test_auc", "validation_auc", "parity"} <= set(metrics)
    assert all(
        "loss" in metrics or "val_loss" in metrics
        for name, (_, metrics) in found["children"].items()
        if "sklearn" not in name
    )


def test_a_batch_is_predicted_by_the_stable_version(project: Project, first: dict) -> None:
    source = "out/breast_cancer/prepared/test.parquet"
    done = project.json("predict", "breast_cancer", source, "--output", "predictions.csv")
    lines = (project.root / "predictions.csv").read_text().splitlines()
    assert done["version"] == 1
    assert done["rows"] == len(lines) - 1 > 50
    assert "prediction" in lines[0]


def test_the_version_is_reproduced_byte_for_byte_in_a_clean_folder(project: Project, first: dict) -> None:
    (project.root / "predictions.csv").unlink()
    report = project.json("reproduce", "breast_cancer", "1")
    assert report["reproduced"]
    assert {check["what"].split(" (")[0]: check["same"] for check in report["checks"]}["product digest"]


def test_one_changed_number_makes_one_training_stale_and_is_visible_in_git(project: Project, first: dict) -> None:
    outcome = project.json("run", "breast_cancer", "--set", "keras.epochs=2", "--no-register")
    verdicts = {stage["stage"]: stage["verdict"] for stage in outcome["stages"]}
    ran = {stage for stage, verdict in verdicts.items() if verdict == "ran"}
    assert ran == {"train@breast_cancer-keras", "evaluate@breast_cancer-keras"}
    assert re.search(r"^\+.*epochs: 2", project.git("diff"), re.MULTILINE)


def test_going_back_restores_the_training_from_the_run_cache(project: Project, first: dict) -> None:
    project.git("checkout", "--", "pipelines/configs")
    outcome = project.json("run", "breast_cancer", "--no-register")
    verdicts = {stage["stage"]: stage["verdict"] for stage in outcome["stages"]}
    assert verdicts["train@breast_cancer-keras"] == "restored"
    assert "ran" not in verdicts.values()


def test_every_broken_copy_is_refused(project: Project, first: dict) -> None:
    proofs = project.json("prove-gates", "breast_cancer")
    broken = [proof for proof in proofs if proof["refused"]]
    assert len(broken) == 10
    assert all(proof["reason"] for proof in broken)
