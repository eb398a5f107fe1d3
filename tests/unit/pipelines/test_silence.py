"""Where no gateway ever ran, silence is no alarm; a gateway that died is one that ran."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from components.monitoring.log_files import LogWindow
from components.types.monitoring import Status
from pipelines.config import load_model
from pipelines.release.environment_config import KubernetesTargetSection
from pipelines.release.environments import EnvironmentConfig, load_environment
from pipelines.watch.gateways import is_served
from pipelines.watch.look import Watch, conclude

NOW = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.fixture
def local(project: Path, monkeypatch: pytest.MonkeyPatch) -> EnvironmentConfig:
    monkeypatch.delenv("TOWPATH_LOCAL_GATEWAY_URL", raising=False)
    return load_environment("local", project)


def test_only_local_may_be_silent_and_only_until_a_gateway_ran(local: EnvironmentConfig, project: Path) -> None:
    assert not is_served(local)
    assert is_served(load_environment("staging", project))
    assert is_served(load_environment("production", project))


@pytest.mark.parametrize("kept", ["board_dir", "log_dir"])
def test_a_gateway_that_died_is_still_expected(local: EnvironmentConfig, kept: str) -> None:
    folder: Path = getattr(local, kept)
    folder.mkdir(parents=True)
    assert is_served(local)


def test_a_gateway_elsewhere_is_expected(local: EnvironmentConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOWPATH_LOCAL_GATEWAY_URL", "http://gateway:8080")
    assert is_served(local)


def test_a_cluster_is_expected_to_serve_whatever_this_machine_has(local: EnvironmentConfig) -> None:
    section = local.section.model_copy(
        update={"target": KubernetesTargetSection(kind="kubernetes", namespace="towpath")}
    )
    assert is_served(EnvironmentConfig(local.name, section, local.root))
    assert not is_served(local)


@pytest.mark.parametrize(("served", "state"), [(True, Status.ALARM), (False, Status.INSUFFICIENT)])
def test_a_look_says_what_silence_means(local: EnvironmentConfig, project: Path, served: bool, state: Status) -> None:
    window = LogWindow(local.log_dir, "boxes", NOW - timedelta(days=1), NOW)
    watch = Watch(local, load_model("boxes", project), window, 1, is_served=served)
    assert conclude(watch, (), (), ()).state is state
