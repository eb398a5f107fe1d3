"""TFX beside the other frameworks: one table, one comparison, one winner; and a TFX product all the way to clients."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import polars as pl
import pytest

from tests.e2e.conftest import Project
from tests.e2e.test_tables import SHARED, TAXI, add_model, shared_table
from tests.tables import write_taxi_shaped

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tfx_python")]

ROWS = 1000
CLOSE = 1e-5
STEPS, ROWS_PER_STEP, TRAIN_ROWS = 500, 256, 10_500
EPOCHS = round(STEPS / (TRAIN_ROWS / ROWS_PER_STEP))
RUN = ("run", "rides", "--only", "keras,lightning,tfx", "--set", f"tfx.epochs={EPOCHS}")


@pytest.fixture(scope="module")
def rides(make_project: Any, prefect: str) -> Project:
    """Return a project with the real taxi table, or one of its shape where that is not beside this checkout."""
    project: Project = make_project("rides", prefect=prefect)
    (project.root / "data/rides").mkdir()
    if (SHARED / TAXI).is_file():
        shutil.copy2(SHARED / TAXI, project.root / "data/rides/taxi.csv")
    else:
        write_taxi_shaped(project.root / "data/rides/taxi.csv", 6000, seed=1)
    add_model(project, "rides")
    return project


@pytest.fixture(scope="module")
def outcome(rides: Project) -> Any:
    return rides.json(*RUN)


def test_three_frameworks_end_in_one_comparison_and_one_winner(rides: Project, outcome: Any) -> None:
    assert outcome["version"] == 1
    trained = {each["stage"] for each in outcome["stages"] if each["stage"].startswith("train@")}
    assert {"train@rides-keras", "train@rides-lightning", "train@rides-tfx"} <= trained
    compared = {each["training"]: each["metrics"] for each in rides.json("compare", "rides")["trainings"]}
    assert {"rides-keras", "rides-lightning", "rides-tfx"} <= compared.keys()
    assert all("auc" in metrics for metrics in compared.values())


def test_nothing_to_do_is_found_without_starting_the_environment(rides: Project, outcome: Any) -> None:
    environments = Path(rides.environment["TOWPATH_ENVIRONMENTS"])
    broken = {**rides.environment, "TOWPATH_ENVIRONMENTS": str(environments / "nowhere")}
    done = subprocess.run(
        rides.command(*RUN, "--json"),
        cwd=rides.root,
        env=broken,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["up_to_date"]
    assert not (environments / "nowhere").exists()


def test_the_training_leaves_what_tfx_is_loved_for(rides: Project, outcome: Any) -> None:
    native = rides.root / "out/rides/trainings/rides-tfx/native/tfx"
    statistics = json.loads((native / "statistics.json").read_text())
    assert statistics
    assert json.loads((native / "anomalies.json").read_text()) in ([], {"anomalies": []})
    analysis = json.loads((native / "analysis.json").read_text())
    assert analysis["blessed"] is True
    assert {"Trainer", "Transform", "Evaluator"} <= {
        each["type"].rsplit(".", 1)[-1] for each in json.loads((native / "lineage.json").read_text())["executions"]
    }


@pytest.fixture(scope="module")
def tfx_version(rides: Project, outcome: Any) -> int:
    version: int = rides.json("run", "rides", "--only", "tfx", *RUN[-2:])["version"]
    return version


def test_clients_of_the_gateway_get_what_tfx_predicts(rides: Project, tfx_version: int) -> None:
    result = json.loads((rides.root / "out/rides/trainings/rides-tfx/result.json").read_text())
    assert result["runtime"] == "savedmodel"
    assert result["parity"] < CLOSE  # the product, loaded outside TFX's environment, against TFX's own predictions
    rides.towpath("serve", "rides", "--detach")
    url = next(each["url"] for each in rides.json("status")["services"] if each["name"].startswith("gateway"))
    rows = pl.read_parquet(rides.root / "out/rides/prepared/train.parquet").head(ROWS)
    inputs = [each["name"] for each in signature(rides)["inputs"]]
    asked = {"dataframe_split": {"columns": inputs, "data": [list(row) for row in rows.select(inputs).iter_rows()]}}
    request = Request(
        f"{url}/models/rides/invocations", json.dumps(asked).encode(), {"Content-Type": "application/json"}
    )
    with urlopen(request, timeout=240) as response:
        answered = json.load(response)["predictions"]
    expected = pyfunc_predictions(rides, tfx_version, rows.select(inputs))
    assert len(answered) == len(expected) == ROWS
    for found, wanted in zip(answered, expected, strict=True):
        assert found["prediction"] == wanted["prediction"]
        assert found["probabilities"] == pytest.approx(wanted["probabilities"], abs=CLOSE)


def signature(rides: Project) -> Any:
    return json.loads((rides.root / "out/rides/trainings/rides-tfx/product/signature.json").read_text())


def pyfunc_predictions(rides: Project, version: int, rows: pl.DataFrame) -> Any:
    """Ask MLflow's own tool, in a process of its own, as any other reader of the registry would."""
    rides.towpath("up")
    tracking = next(each["url"] for each in rides.json("status")["services"] if each["name"] == "mlflow")
    rows.write_parquet(rides.root / "asked.parquet")
    code = (
        "import sys, mlflow, pandas as pd\n"
        f"model = mlflow.pyfunc.load_model('models:/rides/{version}')\n"
        "answer = model.predict(pd.read_parquet('asked.parquet'))\n"
        "sys.stdout.write(answer.to_json(orient='records', double_precision=15))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=rides.root,
        env={**rides.environment, "MLFLOW_TRACKING_URI": tracking, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_on_the_real_taxi_table_tfx_reaches_what_its_own_guide_does(rides: Project, outcome: Any) -> None:
    shared_table(TAXI)
    evaluation = json.loads((rides.root / "out/rides/evaluations/rides-tfx/evaluation.json").read_text())
    assert evaluation["test"]["metrics"]["auc"]["value"] >= 0.93
