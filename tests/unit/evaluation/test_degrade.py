"""A SavedModel's weights are shuffled by a process that runs the model's graph, so it is told no secret."""

import json

import pytest

from components.errors import FaultError
from components.evaluation.proof.degrade import shuffle_weights
from components.types.product import SAVED_MODEL_DIR, ProductRef

STUB = """
import json, os, pathlib
pathlib.Path(__file__).with_name("told.json").write_text(json.dumps(dict(os.environ)))
raise ImportError("it is a stub")
"""


def test_a_process_that_shuffles_a_savedmodel_is_told_no_secret(tmp_path, monkeypatch):
    (tmp_path / "tensorflow.py").write_text(STUB)
    (tmp_path / "product" / SAVED_MODEL_DIR).mkdir(parents=True)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    for name in ("TOWPATH_GATEWAY_TOKEN", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "s3cret")
    with pytest.raises(FaultError, match="ImportError: it is a stub"):
        shuffle_weights(ProductRef(tmp_path / "product", "0" * 64, "savedmodel"), tmp_path / "worse", seed=0)
    told = json.loads((tmp_path / "told.json").read_text())
    assert "s3cret" not in told.values()
    assert told["PATH"]
