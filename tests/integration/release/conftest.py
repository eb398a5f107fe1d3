"""Production on a real ledger and a real MLflow, with a target in memory."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from components.release.plan import ReleasePlan
from components.release.records import Placement, RecordedVersion, Slot
from components.types.release import Environment
from pipelines.release.actors import Actor
from pipelines.release.apply import apply_outbox
from pipelines.release.commit import Move, commit, note
from pipelines.release.environment_config import EnvironmentSection, Right
from pipelines.release.lineage import LINEAGE
from pipelines.release.observe import keep_plan
from tests.releases import MODEL, MemoryEnvironment

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def registry_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give an MLflow on SQLite that knows four versions of the model."""
    from mlflow import MlflowClient

    folder = tmp_path_factory.mktemp("mlflow")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    client = MlflowClient(uri)
    client.create_registered_model(MODEL)
    for _ in range(4):
        client.create_model_version(MODEL, str(folder))
    return uri


@pytest.fixture
def env(tmp_path: Path, registry_uri: str, monkeypatch: pytest.MonkeyPatch) -> MemoryEnvironment:
    """Return production with versions 1 to 4 recorded, their bytes in its store, and nothing placed."""
    plans = tmp_path / "pipelines" / "configs" / "plans"
    shutil.copytree(ROOT / "pipelines" / "configs" / "plans", plans)
    monkeypatch.setenv("TOWPATH_LEDGER_URL", f"sqlite:///{tmp_path / 'ledger.db'}")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry_uri)
    section = EnvironmentSection(after=Environment.STAGING, plan="demo")
    made = MemoryEnvironment(Environment.PRODUCTION, section, tmp_path)
    registered_in = MemoryEnvironment(Environment.LOCAL, EnvironmentSection(plan="demo"), tmp_path)
    for number in range(1, 5):
        product = tmp_path / f"product-{number}"
        product.mkdir()
        (product / "model.onnx").write_bytes(b"graph %d" % number)
        digest = made.store().put(product)
        recorded = RecordedVersion(MODEL, number, digest, "d" * 64, "onnx", author="ada")
        made.ledger().record_version(recorded)
        slot = Slot(model=MODEL, env=registered_in.name, rev=0)
        note(registered_in, slot, number, digest, LINEAGE, {"code": "0c0ffee", "lock": "1" * 64}, "ada")
    # MLflow is shared by the tests of a module: each begins with aliases of a ledger that has written nothing
    made.registry().set_aliases(MODEL, None, None, 0, prefix=made.alias_prefix, ledger_wins=True)
    return made


@pytest.fixture
def eve() -> Actor:
    """Return a release engineer, who is nobody's author."""
    return Actor("eve", "production", frozenset(Right), verified=True)


@pytest.fixture
def place(env: MemoryEnvironment) -> Callable[..., Slot]:
    """Return a function that commits a placement and lets everything follow."""

    def commit_it(target: str, version: int, plan: ReleasePlan | None = None, **placement: object) -> Slot:
        slot = env.ledger().slot(MODEL, env.name)
        used = plan or env.plan()
        keep_plan(env, slot, env.ledger().version(MODEL, version), "test", used)
        to = Placement(**placement)  # type: ignore[arg-type]
        move = Move(version=version, target=target, to=to, actor="eve", reason="test", plan_digest=used.digest)
        after = commit(env, slot, move)
        apply_outbox(env, MODEL)
        return after

    return commit_it
