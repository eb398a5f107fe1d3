"""Fitted objects as files without pickle."""

import json
import zipfile

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from components.errors import TrainingError
from components.training.core.object_file import read_object, write_object

PACKAGES = ("sklearn", "numpy", "scipy")
FEATURES = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
TARGET = (FEATURES[:, 0] > 0).astype(np.int64)
ESTIMATORS = [
    GradientBoostingClassifier(n_estimators=3, random_state=1),
    HistGradientBoostingClassifier(max_iter=3, random_state=1),
    LogisticRegression(),
    MLPClassifier(early_stopping=True, max_iter=3, n_iter_no_change=1, random_state=1),
    RandomForestClassifier(3, random_state=1),
    SGDClassifier(loss="log_loss", random_state=1),
    make_pipeline(StandardScaler(), LogisticRegression()),
]


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: type(estimator).__name__)
@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_estimator_comes_back_and_is_written_in_the_same_bytes(tmp_path, estimator):
    estimator.fit(FEATURES, TARGET)
    write_object(estimator, tmp_path / "first.zip", PACKAGES)
    read = read_object(tmp_path / "first.zip", PACKAGES)

    np.testing.assert_array_equal(read.predict_proba(FEATURES), estimator.predict_proba(FEATURES))
    write_object(read, tmp_path / "second.zip", PACKAGES)
    assert (tmp_path / "first.zip").read_bytes() == (tmp_path / "second.zip").read_bytes()


def test_network_goes_on_learning_as_the_one_that_was_stored(tmp_path):
    estimator = MLPClassifier(shuffle=False, random_state=1).partial_fit(FEATURES, TARGET, classes=[0, 1])
    write_object(estimator, tmp_path / "file.zip", PACKAGES)
    read = read_object(tmp_path / "file.zip", PACKAGES)

    for each in (estimator, read):
        each.partial_fit(FEATURES, TARGET)

    np.testing.assert_array_equal(read.predict_proba(FEATURES), estimator.predict_proba(FEATURES))


@pytest.mark.parametrize(
    "value",
    [
        None,
        {"a": [1, 2.5, (True, "x")], 3: None},
        np.float32(1.5),
        np.dtype(np.float64),
        np.float64,
        np.array(["x", None], dtype=object),
        float("inf"),
    ],
    ids=repr,
)
def test_plain_value_comes_back_with_its_type(tmp_path, value):
    write_object(value, tmp_path / "file.zip", PACKAGES)
    read = read_object(tmp_path / "file.zip", PACKAGES)

    assert type(read) is type(value)
    np.testing.assert_equal(read, value)


def test_object_of_another_package_is_not_written(tmp_path):
    with pytest.raises(TrainingError, match="json.decoder:JSONDecoder"):
        write_object(json.JSONDecoder(), tmp_path / "file.zip", PACKAGES)


@pytest.mark.parametrize(
    "node",
    [
        ["call", "os:system", ["tuple", "true"], None],
        ["call", "subprocess:Popen", ["tuple", "true"], None],
        ["call", "numpy:load", ["tuple", "x.npy"], None],
        ["call", "sklearn.utils:os.system", ["tuple", "true"], None],
        ["type", "builtins:eval"],
    ],
    ids=str,
)
def test_file_that_would_call_something_else_is_refused(tmp_path, node):
    with zipfile.ZipFile(tmp_path / "file.zip", "w") as archive:
        archive.writestr("object.json", json.dumps(node))

    with pytest.raises(TrainingError, match="is no class of sklearn, numpy, scipy"):
        read_object(tmp_path / "file.zip", PACKAGES)


def test_damaged_file_is_said_to_be_damaged(tmp_path):
    (tmp_path / "file.zip").write_bytes(b"no zip")

    with pytest.raises(TrainingError, match="cannot be read"):
        read_object(tmp_path / "file.zip", PACKAGES)
