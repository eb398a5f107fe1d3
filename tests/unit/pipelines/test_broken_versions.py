"""The demo's broken versions are sound on known rows, and break on others in the way that they say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from time import perf_counter

import numpy as np
import onnx
import pytest

from bench.products import network_product
from components.errors import FaultError
from components.runtime.protocol import ModelRuntime
from components.runtime.signature import read_signature
from components.runtime.table import find_runtime
from components.types.product import ProductRef
from pipelines.demo.broken import Fault, break_product

COLUMN = "feature_0"
KNOWN = [0.5, 1.5, 2.5]
UNKNOWN = [3.0, 4.0]


@pytest.fixture
def sound(tmp_path: Path) -> ProductRef:
    return network_product(tmp_path / "sound", n_inputs=3)


def loaded(product: ProductRef) -> ModelRuntime:
    runtime = find_runtime(product.runtime)()
    runtime.load(product)
    return runtime


def broken(sound: ProductRef, fault: Fault, tmp_path: Path) -> ModelRuntime:
    product = break_product(sound, read_signature(sound.directory), fault, COLUMN, KNOWN, tmp_path / fault.name)
    assert product.digest != sound.digest
    return loaded(product)


def rows(values: list[float]) -> Mapping[str, np.ndarray]:
    batch = {f"feature_{index}": np.full(len(values), index / 3) for index in range(1, 3)}
    return {COLUMN: np.array(values), **batch}


@pytest.mark.parametrize("fault", list(Fault))
def test_on_known_rows_a_broken_version_is_what_it_was_made_from(
    sound: ProductRef, fault: Fault, tmp_path: Path
) -> None:
    expected, found = loaded(sound).predict(rows(KNOWN)), broken(sound, fault, tmp_path).predict(rows(KNOWN))
    assert expected.keys() == found.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)


def test_wrong_labels_are_the_other_class_with_the_other_probabilities(sound: ProductRef, tmp_path: Path) -> None:
    expected = loaded(sound).predict(rows(UNKNOWN))
    found = broken(sound, Fault.WRONG_LABELS, tmp_path).predict(rows(UNKNOWN))
    assert not (found["prediction"] == expected["prediction"]).any()
    np.testing.assert_array_equal(found["probabilities"], expected["probabilities"][:, ::-1])


def test_a_mixed_batch_is_wrong_only_where_it_is_unknown(sound: ProductRef, tmp_path: Path) -> None:
    mixed = rows([KNOWN[0], UNKNOWN[0]])
    expected = loaded(sound).predict(mixed)["prediction"]
    found = broken(sound, Fault.WRONG_LABELS, tmp_path).predict(mixed)["prediction"]
    assert (found == expected).tolist() == [True, False]


def test_a_slow_version_is_right_and_slower(sound: ProductRef, tmp_path: Path) -> None:
    slow, expected = broken(sound, Fault.SLOW, tmp_path), loaded(sound).predict(rows(UNKNOWN))
    np.testing.assert_array_equal(slow.predict(rows(UNKNOWN))["prediction"], expected["prediction"])
    assert fastest(slow, UNKNOWN) > 5 * fastest(slow, KNOWN)


def test_a_crashing_version_fails_and_is_sound_again(sound: ProductRef, tmp_path: Path) -> None:
    crashing = broken(sound, Fault.CRASHING, tmp_path)
    with pytest.raises(FaultError, match="Reshape"):
        crashing.predict(rows(UNKNOWN))
    assert len(crashing.predict(rows(KNOWN))["prediction"]) == len(KNOWN)


def test_the_product_that_is_broken_stays_as_it_is(sound: ProductRef, tmp_path: Path) -> None:
    before = onnx.load(sound.directory / "model.onnx").SerializeToString()
    broken(sound, Fault.CRASHING, tmp_path)
    assert onnx.load(sound.directory / "model.onnx").SerializeToString() == before


def fastest(runtime: ModelRuntime, values: list[float]) -> float:
    def once() -> float:
        begun = perf_counter()
        runtime.predict(rows(values))
        return perf_counter() - begun

    return min(once() for _ in range(5))
