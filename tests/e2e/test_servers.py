"""The servers of a laptop, as `make run` uses them: up, a run through them, a served champion, down, nothing left."""

import json
import urllib.request

import psutil
import pytest

from tests.e2e.conftest import Project

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def up(project: Project) -> dict[str, dict]:
    services = {service["name"]: service for service in project.json("up")}
    assert set(services) == {"mlflow", "prefect"}
    return services


def test_starting_again_changes_nothing(project: Project, up: dict) -> None:
    again = {service["name"]: service["pid"] for service in project.json("up")}
    assert again == {name: service["pid"] for name, service in up.items()}


def test_a_run_goes_through_the_servers_and_links_both_ways(project: Project, up: dict) -> None:
    outcome = project.json("run", "breast_cancer", "--only", "sklearn")
    assert outcome["version"] == 1
    assert any(sentence.startswith(f"MLflow run: {up['mlflow']['url']}/#/") for sentence in outcome["sentences"])
    prefect = f"{up['prefect']['url']}/api/flow_runs/{outcome['flow_run_id']}"
    with urllib.request.urlopen(prefect) as response:
        assert json.load(response)["state"]["type"] == "COMPLETED"
    address = f"{up['mlflow']['url']}/api/2.0/mlflow/runs/get?run_id={outcome['mlflow_run_id']}"
    with urllib.request.urlopen(address) as response:
        tags = {tag["key"]: tag["value"] for tag in json.load(response)["run"]["data"]["tags"]}
    assert tags["prefect.flow_run_id"] == outcome["flow_run_id"]
    assert tags["prefect.flow_run_url"].startswith(up["prefect"]["url"])


def test_the_champion_answers_a_real_request(project: Project, up: dict) -> None:
    service = project.json("serve", "breast_cancer", "--detach")
    answer = project.json("ask", "breast_cancer")
    assert answer["url"].startswith(service["url"])
    assert answer["version"] == 1
    assert answer["outputs"]["prediction"][0] in ("benign", "malignant")
    assert abs(sum(answer["outputs"]["probabilities"]) - 1) < 1e-5


def test_another_port_than_the_running_gateways_is_a_conflict(project: Project, up: dict) -> None:
    done = project.towpath("serve", "breast_cancer", "--detach", "--port", "1", code=3)
    assert "towpath down" in done.stderr


def test_the_status_names_every_server(project: Project, up: dict) -> None:
    view = project.json("status")
    assert {service["name"] for service in view["services"]} == {"mlflow", "prefect", "gateway"}
    assert {model["model"]: model["stable_version"] for model in view["models"]}["breast_cancer"] == 1


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_what_the_server_stored_is_read_without_it(project: Project, up: dict) -> None:
    stopped = {service["pid"] for service in project.json("down")}
    assert len(stopped) == 3
    assert not any(lives(pid) for pid in stopped)
    assert project.json("compare", "breast_cancer")["versions"][0]["metrics"]
    assert project.json("status")["services"] == []
