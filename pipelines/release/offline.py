"""Predict a prepared split offline, in a process of its own: a product that crashes takes nothing else along.

As a program: ``python -m pipelines.release.offline PRODUCT ROWS PREDICTIONS``, where PRODUCT is a record in JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from components.errors import StageFailedError, error_from_json
from components.serving.predict import predict_file
from components.stage.files import write_json
from components.stage.main import run_stage
from components.stage.process import CALL_DIR_VARIABLE, ERROR_FILE
from components.types import record
from components.types.product import ProductRef
from pipelines.state import bare_environment

_PROBABILITY = "probability_"


def offline_predictions(product: ProductRef, rows: Path, root: Path) -> list[dict[str, Any]]:
    """Return the outputs of every row of a Parquet file, in the form in which a client gets them.

    Raises:
        DigestMismatchError: the product's bytes are not those that were promised.
        FaultError: the product does not load, or cannot predict these rows.
    """
    import pyarrow.parquet as pq

    with TemporaryDirectory(prefix="towpath-offline-") as folder:
        call = Path(folder)
        write_json(call / "product.json", product)
        target = call / "predictions.parquet"
        files = [str(call / "product.json"), str(rows.resolve()), str(target)]
        command = [sys.executable, "-m", "pipelines.release.offline", *files]
        done = subprocess.run(command, cwd=root, env={**bare_environment(), CALL_DIR_VARIABLE: folder}, check=False)
        if done.returncode:
            report = call / ERROR_FILE
            if report.is_file():
                raise error_from_json(json.loads(report.read_text()))
            raise StageFailedError(f"predicting {rows} offline ended with code {done.returncode}")
        table = pq.read_table(target)
    probabilities = [name for name in table.column_names if name.startswith(_PROBABILITY)]
    return [_outputs(row, probabilities) for row in table.select(["prediction", *probabilities]).to_pylist()]


def _outputs(row: dict[str, Any], probabilities: list[str]) -> dict[str, Any]:
    outputs = {"prediction": row["prediction"]}
    return outputs | ({"probabilities": [row[name] for name in probabilities]} if probabilities else {})


def run(product: str, rows: str, predictions: str) -> None:
    """Predict one file into another."""
    predict_file(record.read(ProductRef, Path(product)), Path(rows), Path(predictions))


if __name__ == "__main__":
    raise SystemExit(run_stage("release.offline", sys.argv[1:], "PRODUCT ROWS PREDICTIONS", run))
