"""The clients that people use: NVIDIA's and MLflow's own."""

import json

import numpy as np
import pytest
from tritonclient import http as triton
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

pytestmark = pytest.mark.slow
ROWS = 3


@pytest.fixture
def client(everything):
    made = triton.InferenceServerClient(f"127.0.0.1:{everything.port}")
    yield made
    made.close()


def mixed_arrays():
    return {
        "age": np.array([40.0, np.nan, 10.0]),
        "visits": np.array([2, 0, 5]),
        "smoker": np.array([True, False, False]),
        "city": np.array(["Oslo", "Rome", "Łódź"], dtype=object),
    }


MIXED_ANSWERS = [40 + 2_000 + 1e6 + 1e7, 500.0, 5_010.0]


def infer_inputs(arrays, binary):
    inputs = []
    for name, array in arrays.items():
        made = triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
        made.set_data_from_numpy(array, binary_data=binary)
        inputs.append(made)
    return inputs


def test_triton_finds_server_and_model_ready(client, everything):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("mixed")
    assert client.is_model_ready("mixed", "3")
    assert not client.is_model_ready("mixed", "4")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    assert client.get_model_metadata("mixed")["inputs"][3] == {"name": "city", "datatype": "BYTES", "shape": [-1]}


@pytest.mark.parametrize("binary_out", [True, False])
def test_triton_sends_every_type_as_binary(client, binary_out):
    outputs = [triton.InferRequestedOutput("prediction", binary_data=binary_out)]
    result = client.infer("mixed", infer_inputs(mixed_arrays(), True), request_id="r-1", outputs=outputs)
    assert result.as_numpy("prediction").tolist() == MIXED_ANSWERS
    assert (result.get_response()["id"], result.get_response()["model_version"]) == ("r-1", "3")


@pytest.mark.parametrize("binary_out", [True, False])
def test_triton_sends_every_type_as_json(client, binary_out):
    arrays = mixed_arrays() | {"age": np.array([40.0, 500.0, 10.0])}  # its JSON has no way to say missing
    outputs = [triton.InferRequestedOutput("prediction", binary_data=binary_out)]
    result = client.infer("mixed", infer_inputs(arrays, False), outputs=outputs)
    assert result.as_numpy("prediction").tolist() == MIXED_ANSWERS


def test_triton_asks_for_all_outputs_as_binary_by_default(client):
    arrays = {f"feature_{index}": np.full(ROWS, 0.1 * index) for index in range(30)}
    result = client.infer("network", infer_inputs(arrays, True))
    probabilities = result.as_numpy("probabilities")
    assert (probabilities.dtype, probabilities.shape) == (np.float32, (ROWS, 2))
    labels = [each.decode() for each in result.as_numpy("prediction")]
    assert labels == [["benign", "malignant"][index] for index in probabilities.argmax(axis=1)]


def test_triton_sends_images(client):
    images = np.array([[[1, 1], [1, 0]], [[0, 0], [0, 0]]], dtype=np.float32)
    for binary in (True, False):
        result = client.infer("image", infer_inputs({"image": images}, binary))
        assert result.as_numpy("prediction").tolist() == [1, 0]


def test_triton_reads_the_sentence_of_a_refusal(client):
    arrays = mixed_arrays() | {"visits": np.array([2.0, 0.0, 5.0])}
    with pytest.raises(InferenceServerException, match="datatype 'FP64', expected INT64") as caught:
        client.infer("mixed", infer_inputs(arrays, True))
    assert caught.value.status() == "400"


def test_tritons_nan_in_json_is_refused_with_a_way_out(client):
    with pytest.raises(InferenceServerException, match="send null for a missing value"):
        client.infer("mixed", infer_inputs(mixed_arrays(), False))


@pytest.fixture
def mlflow_client(running, products):
    scoring = pytest.importorskip("mlflow.pyfunc.scoring_server.client")
    running.place(1, ("mixed", 3, products["mixed"]))
    running.start()
    return scoring.ScoringServerClient("127.0.0.1", running.port)


def test_mlflows_client_scores_a_table(mlflow_client):
    import pandas as pd

    mlflow_client.wait_server_ready(timeout=10)
    assert mlflow_client.get_version()
    table = pd.DataFrame({"age": [40.0, 10.0], "visits": [2, 5], "smoker": [True, False], "city": ["Oslo", "Łódź"]})
    assert mlflow_client.invoke(table).get_predictions()["prediction"].tolist() == [MIXED_ANSWERS[0], MIXED_ANSWERS[2]]
    with pytest.raises(Exception, match="unknown column `town`"):
        mlflow_client.invoke(table.rename(columns={"city": "town"}))


def test_mlflows_other_forms_are_answered(mlflow_client):
    records = [{"age": 40, "visits": 2, "smoker": True, "city": "Oslo"}]
    for form in ("dataframe_records", "instances", "inputs"):
        answer = mlflow_client.invoke(json.dumps({form: records}))  # a text is sent as it is
        assert answer.get_predictions()["prediction"].tolist() == [MIXED_ANSWERS[0]]
