"""A version enters the next environment: the same bytes, the same number, its evidence; or nothing at all."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from components.errors import ConflictError, DigestMismatchError, UnknownNameError
from components.registry.carried import NUMBER_TAG, CarriedRegistry
from components.release.records import Evidence, RecordedVersion
from components.stage.files import tree_digest
from components.tracking.tracker import Tracker
from components.types.release import Environment
from pipelines.release.entering import enter
from pipelines.release.environments import EnvironmentConfig
from pipelines.release.gates_evidence import gates_evidence
from pipelines.release.lineage import LINEAGE, code_and_lock
from tests.integration.release_evidence.conftest import DATASET, GATE_CONFIG, MODEL, Project

pytestmark = pytest.mark.slow


def entered(project: Project, to: str = "staging") -> EnvironmentConfig:
    target = project.env(to)
    before = {"staging": "local", "production": "staging"}[to]
    enter(MODEL, project.version, project.env(before), target, project.root)
    return target


def test_the_bytes_stand_in_the_other_store_and_a_second_time_changes_nothing(project: Project) -> None:
    for _ in range(2):
        staging = entered(project)
        assert tree_digest(staging.store().path(project.digest)) == project.digest
        assert len(list(staging.store().root.iterdir())) == 1


def test_a_flipped_bit_leaves_nothing_behind(project: Project) -> None:
    graph = project.env("local").store().root / project.digest / "model.onnx"
    content = bytearray(graph.read_bytes())
    content[100] ^= 1
    graph.chmod(0o644)
    graph.write_bytes(content)
    with pytest.raises(DigestMismatchError):
        entered(project)
    store = project.env("staging").store().root
    assert not store.exists() or list(store.iterdir()) == []


def test_a_ledger_of_its_own_learns_of_the_version_and_what_was_found_out(
    project: Project, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOWPATH_STAGING_LEDGER_URL", postgresql_url)
    local = project.env("local").ledger()
    for kind in ("gates", "observation"):
        content = '{"a":1}'
        when = "2026-03-29T00:30:00+00:00"
        found_out = Evidence(MODEL, Environment.LOCAL, project.version, project.digest, kind, 1, content, when, "ada")
        local.add_evidence(found_out)
    for _ in range(2):
        staging = entered(project)
        assert staging.ledger().version(MODEL, project.version) == local.version(MODEL, project.version)
        found = staging.ledger().evidence(MODEL, Environment.LOCAL, project.version)
        assert [each.kind for each in found] == ["gates"]
    assert staging.ledger().slot(MODEL, staging.name).rev == 0
    with pytest.raises(UnknownNameError):
        staging.ledger().version(MODEL, project.version + 1)


def test_a_number_that_is_taken_by_other_bytes_is_a_conflict(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOWPATH_STAGING_LEDGER_URL", f"sqlite:///{tmp_path / 'staging.db'}")
    other = RecordedVersion(MODEL, project.version, "e" * 64, DATASET, "onnx", "eve")
    project.env("staging").ledger().record_version(other)
    with pytest.raises(ConflictError, match="the registry does not belong to this ledger"):
        entered(project)


def test_a_registry_of_its_own_gets_the_version_under_its_number(
    project: Project, tmp_path: Path, new_mlflow: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = new_mlflow("staging")
    monkeypatch.setenv("TOWPATH_STAGING_MLFLOW_URI", uri)
    registry = project.env("staging").registry()
    assert isinstance(registry, CarriedRegistry)
    occupied(uri, tmp_path)
    for _ in range(2):
        registry = entered(project).registry()
        (carried,) = registry.list_versions(MODEL)
        assert (carried.version, carried.product_digest) == (project.version, project.digest)
    own = registry.version(MODEL, project.version)
    assert own.tags[NUMBER_TAG] == str(project.version)
    lineage = registry.read_lineage(MODEL, project.version)
    assert (lineage.product_digest, lineage.author) == (project.digest, "ada")
    fetched = registry.fetch_product(MODEL, project.version, tmp_path / "fetched")
    assert tree_digest(fetched.directory) == project.digest
    registry.set_aliases(MODEL, project.version, None, rev=4)
    assert registry.read_aliases(MODEL).champion == project.version
    with pytest.raises(UnknownNameError, match="was not carried"):
        registry.version(MODEL, project.version + 1)


def test_production_takes_a_version_on_from_stagings_own_registry(
    project: Project, tmp_path: Path, new_mlflow: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("STAGING", "PRODUCTION"):
        monkeypatch.setenv(f"TOWPATH_{name}_MLFLOW_URI", new_mlflow(name))
        monkeypatch.setenv(f"TOWPATH_{name}_LEDGER_URL", f"sqlite:///{tmp_path / name}-ledger.db")
    entered(project)
    production = entered(project, "production")
    found = gates_evidence(production, production.ledger().version(MODEL, project.version))
    assert (found.product_digest, found.gate_config_digest, found.clean) == (project.digest, GATE_CONFIG, True)


def test_what_a_version_was_made_with_is_in_a_ledger_two_environments_on_and_no_mlflow_is_asked(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("STAGING", "PRODUCTION"):
        monkeypatch.setenv(f"TOWPATH_{name}_LEDGER_URL", f"sqlite:///{tmp_path / name}-ledger.db")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        for _ in range(2):
            entered(project)
            production = entered(project, "production")
        (event,) = project.env("local").ledger().events(MODEL, Environment.LOCAL)
        found = code_and_lock(production, production.ledger().version(MODEL, project.version))
    assert found == (event.code_digest, event.lock_digest)
    assert len(production.ledger().evidence(MODEL, production.name, project.version, kind=LINEAGE)) == 1


def test_bytes_that_are_not_in_the_store_are_fetched_from_the_registry(project: Project) -> None:
    local = project.env("local")
    shutil.rmtree(local.store().root)
    placed = local.place(local.ledger().version(MODEL, project.version).ref)
    assert tree_digest(placed.directory) == project.digest


def occupied(uri: str, tmp_path: Path) -> None:
    """Give the model a version that Towpath did not make, so that the numbers differ."""
    client = Tracker(uri, tmp_path / "occupied").connection.client
    client.create_registered_model(MODEL)
    client.create_model_version(MODEL, str(tmp_path))


def test_bytes_that_change_while_they_are_copied_leave_nothing_behind(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    copytree = shutil.copytree

    def failing_disk(source: Path, target: Path, **options: bool) -> None:
        copytree(source, target, **options)
        (target / "model.onnx").chmod(0o644)
        (target / "model.onnx").write_bytes(b"torn")

    monkeypatch.setattr(shutil, "copytree", failing_disk)
    with pytest.raises(DigestMismatchError, match="nothing was copied"):
        entered(project)
    assert not project.env("staging").store().root.exists()
