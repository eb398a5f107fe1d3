"""A complete request to register a product, and the rows that its example shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from components.registry.request import Lineage, RegistrationRequest
from components.stage.files import file_digest
from components.tracking.tracker import Tracker
from components.types.evaluation import Verdict
from components.types.product import ProductRef


@pytest.fixture
def rows() -> dict[str, list[Any]]:
    """Return three rows of the table product: its answers are yes, yes and no."""
    return {"age": [40.0, None, -9.0], "city": ["Rome", "Oslo", None], "trips": [3, 2, 1], "vip": [True, False, False]}


@pytest.fixture
def request_for(tracker: Tracker, tmp_path: Path, rows: dict[str, list[Any]]) -> Callable[..., RegistrationRequest]:
    """Return a function that completes a request for a product; its lineage may be changed."""
    model = f"taxi_{uuid4().hex[:8]}"
    run = tracker.start_training_run(tracker.start_pipeline_run(model), model, f"{model}-keras")
    native = tmp_path / "native"
    native.mkdir()
    (native / "model.keras").write_bytes(b"native")
    files = {name: tmp_path / name for name in ("dvc.lock", "verdict.json", "uncommitted.patch")}
    for path in files.values():
        path.write_text(path.name)

    def build(product: ProductRef, **changes: object) -> RegistrationRequest:
        lineage = Lineage(
            model=model,
            training=f"{model}-keras",
            kind="keras",
            framework="keras 3.15.1 on tensorflow 2.21.0",
            runtime="onnx",
            product_digest=product.digest,
            dataset_digest="d" * 64,
            git_commit="0c0ffee",
            patch_digest=file_digest(files["uncommitted.patch"]),
            dvc_lock_digest=file_digest(files["dvc.lock"]),
            lock_digests={"main": "1" * 64, "torch": "2" * 64},
            suite_passed=True,
            suite_digest=file_digest(files["verdict.json"]),
            gates=(Verdict("absolute", passed=True, reasons=("auc 0.99 ≥ 0.95",)),),
            parameters={"epochs": 60, "rate": 0.1, "layers": (8, 4), "seed": None},
            native_files=("native/model.keras",),
            author="ada",
            flow_run_id="flow-1",
        )
        return RegistrationRequest(run, product, replace(lineage, **changes), files, native, rows)

    return build
