"""Evidence about a version, gathered on a real server that loads its very bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import pytest

from components.errors import DigestMismatchError, FaultError, UnknownNameError
from components.release.guards.entry import entry_verdicts
from components.release.plan import EntryStep, ReleasePlan
from components.release.records import Evidence
from components.types.product import ProductRef
from components.types.release import Environment
from pipelines.release.entering import enter, gather
from pipelines.release.observe import rollout_evidence
from pipelines.release.offline import offline_predictions
from pipelines.release.replay import GOLDEN_ROWS, replay
from pipelines.release.requests import read_signature, request_rows, split_path
from pipelines.release.sandbox import sandbox
from tests.integration.release_evidence.conftest import GATE_CONFIG, MODEL, Project

pytestmark = pytest.mark.slow

PLAN = ReleasePlan(entry=EntryStep(requests=120, sandbox_requests=100, load_requests_per_s=40, load_s=1))


def contents(found: tuple[Evidence, ...]) -> Mapping[str, Any]:
    return {each.kind: json.loads(each.content) for each in found}


def silent(_what: str, _done: int, _total: int) -> None:
    pass


def test_a_sound_version_passes_every_entry_guard_by_what_is_gathered(project: Project) -> None:
    heard: dict[str, tuple[int, int]] = {}

    def report(what: str, done: int, total: int) -> None:
        heard[what] = (done, total)

    staging = project.env("staging")
    enter(MODEL, project.version, project.env("local"), staging, project.root)
    gathered = gather(MODEL, project.version, staging, PLAN, project.root, report)
    found = contents(gathered)
    assert {each.artifact_digest for each in gathered} == {project.digest}
    assert {each.gathered_by for each in gathered} == {"ada"}
    assert found["gates"]["gate_config_digest"] == GATE_CONFIG
    assert found["gates"]["clean"] is True
    assert found["sandbox"]["requests"] == 100
    assert found["contract"]["against_version"] is None
    assert (found["replay"]["requests"], found["replay"]["distinct"], found["replay"]["unequal"]) == (120, 40, 0)
    assert len({each["request"] for each in found["replay"]["golden"]}) == GOLDEN_ROWS
    assert found["load"]["failed"] == 0
    assert heard["replaying real rows"] == (120, 120)
    for evidence in gathered:
        staging.ledger().add_evidence(evidence)
    slot, recorded = staging.ledger().slot(MODEL, staging.name), staging.ledger().version(MODEL, project.version)
    stored = rollout_evidence(staging, slot, recorded, ())
    for env in (Environment.STAGING, Environment.PRODUCTION):
        assert [each for each in entry_verdicts(PLAN, env, slot, stored) if not each.passed] == []


def test_bytes_that_were_changed_in_the_store_are_not_measured(project: Project) -> None:
    staging = project.env("staging")
    enter(MODEL, project.version, project.env("local"), staging, project.root)
    flip_a_bit(staging.store().root / project.digest / "model.onnx")
    with pytest.raises(DigestMismatchError):
        gather(MODEL, project.version, staging, PLAN, project.root, silent)


def test_rows_that_are_not_there_are_answered_with_what_makes_them(project: Project) -> None:
    (project.root / "out" / MODEL / "prepared" / "validation.parquet").unlink()
    with pytest.raises(UnknownNameError, match=f"towpath run {MODEL}"):
        gather(MODEL, project.version, project.env("local"), PLAN, project.root, silent)


def test_an_answer_unlike_the_offline_prediction_is_counted(project: Project) -> None:
    local = project.env("local")
    placed = local.place(local.ledger().version(MODEL, project.version).ref)
    signature = read_signature(placed.directory)
    rows = request_rows(MODEL, signature, "validation", project.root)
    product = ProductRef(placed.directory, project.digest)
    offline = offline_predictions(product, split_path(MODEL, "validation", project.root), project.root)
    offline[3] = {**offline[3], "probabilities": [0.5, 0.5]}
    with sandbox(placed, project.root, 30) as box:
        found = replay(box, rows, offline, 80, 1e-5, lambda _done, _total: None)
        dead = type(box)("http://127.0.0.1:9", box.path, box.digest)
        unanswered = replay(dead, rows, offline, 5, 1e-5, lambda _done, _total: None)
    assert (found.requests, found.unequal) == (80, 2)
    assert found.largest_difference > 1e-5
    assert unanswered.unequal == 5


def test_a_product_that_does_not_load_is_a_fault_in_a_sentence(project: Project, tmp_path: Path) -> None:
    from components.stage.files import tree_digest

    folder = tmp_path / "hollow"
    folder.mkdir()
    onnx.save(onnx.ModelProto(), folder / "model.onnx")
    store = project.env("local").store()
    (folder / "signature.json").write_bytes((store.root / project.digest / "signature.json").read_bytes())
    product = ProductRef(folder, tree_digest(folder))
    with pytest.raises(FaultError, match="cannot be loaded"):
        offline_predictions(product, split_path(MODEL, "validation", project.root), project.root)


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
