"""Where a training runs is asked for in one place, and is not among what it is made from."""

from pathlib import Path

import pytest
import yaml

from components.errors import ConfigError
from components.training.core.runner import RUNNERS, LocalRunner, Resources, chosen_kind, find_runner, read_runner

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def section(tmp_path, monkeypatch):
    monkeypatch.delenv("TOWPATH_RUNNER", raising=False)

    def read(runner):
        path = tmp_path / "pipelines/configs/m.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            yaml.safe_dump({"models": {"m": {} if runner is None else {"runner": runner}}, "trainings": {}})
        )
        return read_runner("m", tmp_path)

    return read


def test_everything_runs_here_until_somebody_says_otherwise(section):
    assert chosen_kind(section(None), "m-a") == "local"
    assert isinstance(find_runner("local"), LocalRunner)


def test_one_word_sends_everything(section):
    place = section("ray")
    assert {chosen_kind(place, name) for name in ("m-a", "m-b", "prediction")} == {"ray"}
    assert place.resources_of("m-a") == Resources()


def test_some_trainings_can_stay(section):
    place = section({"kind": "ray", "only": ["m-a"], "resources": {"m-a": {"cpus": 2, "gpus": 1, "memory_bytes": 10}}})
    assert [chosen_kind(place, name) for name in ("m-a", "m-b", "prediction")] == ["ray", "local", "local"]
    assert place.resources_of("m-a") == Resources(cpus=2, gpus=1, memory_bytes=10)


def test_machine_overrules_the_configuration(section, monkeypatch):
    monkeypatch.setenv("TOWPATH_RUNNER", "local")
    assert chosen_kind(section("ray"), "m-a") == "local"
    monkeypatch.setenv("TOWPATH_RUNNER", "rya")
    with pytest.raises(ConfigError, match="did you mean `ray`"):
        chosen_kind(section("ray"), "m-a")


@pytest.mark.parametrize(
    ("runner", "words"),
    [
        ("dask", "models.m.runner.kind"),
        ({"kind": "ray", "resource": {}}, "did you mean `resources`"),
        ({"kind": "ray", "resources": {"m-a": {"cpus": 0}}}, "models.m.runner.resources.m-a.cpus"),
        ({"resources": {"m-a": {"cpus": 2}}}, "set kind: ray"),
    ],
)
def test_what_would_be_ignored_or_misread_is_refused(section, runner, words):
    with pytest.raises(ConfigError, match=words):
        section(runner)


def test_place_is_no_parameter_and_no_dependency_of_a_training():
    train = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["train"]["do"]
    assert train["params"] == [{"pipelines/configs/${item.model}.yaml": ["trainings.${key}"]}]
    elsewhere = {value.partition(":")[0].replace(".", "/") for name, value in RUNNERS.items() if name != "local"}
    assert not [dep for dep in train["deps"] for path in elsewhere if f"{path}.py".startswith(dep)]
