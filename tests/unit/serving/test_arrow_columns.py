"""Columns laid out by hand are what Arrow itself would have made of the same values, and need no pandas for it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.serving.prediction_log.arrow_columns import lists, numbers, texts, truths

ROOT = Path(__file__).resolve().parents[3]
NEEDS_NO_PANDAS = """
import sys
from pathlib import Path
from bench.products import mixed_product, network_product
from components.serving.measurements import Measurements
from components.serving.prediction_log import LogOptions
from components.serving.prediction_log.frames import Decoder, Packer, frame
from components.serving.prediction_log.writer import Writer
from components.serving.served_model import load_served
from components.types.release import ModelRef, PlacedModel

folder, packer, found = Path(sys.argv[1]), Packer(), []
writer = Writer(LogOptions(folder / "log"), 0, print)
for name, make, row in (("network", network_product, [0.5] * 30), ("mixed", mixed_product, [None, 1, True, "Oslo"])):
    product = make(folder / name)
    model = load_served(PlacedModel(ModelRef(name, 7, product.digest), product.directory, "onnx"), Measurements())
    batch = model.plan.from_rows([row], None)
    found.append(packer.pack(model, "", 1, "r", 1, batch, model.predict(batch), 0.001, 200))
writer.write(Decoder().decode(b"".join(frame(packer.facts, found))))
writer.close_all()
assert writer.counts.written == 2
print(*sorted({"pandas", "polars", "scipy", "pyarrow"} & set(sys.modules)))
"""


def columns(values):
    """Values with some of them missing."""
    return st.lists(st.tuples(values, st.booleans()), max_size=40)


def expected(rows, kind):
    return pa.array([None if missing else value for value, missing in rows], kind)


def parts(rows, dtype):
    return np.array([value for value, _ in rows], dtype), np.array([missing for _, missing in rows], np.bool_)


@settings(deadline=None)
@given(columns(st.integers(-(2**63), 2**63 - 1)))
def test_numbers(rows):
    made = numbers(*_with_kind(parts(rows, np.int64), pa.int64()))
    made.validate(full=True)
    assert made.equals(expected(rows, pa.int64()))


@settings(deadline=None)
@given(columns(st.booleans()))
def test_truths(rows):
    made = truths(*parts(rows, np.bool_))
    made.validate(full=True)
    assert made.equals(expected(rows, pa.bool_()))


@settings(deadline=None)
@given(columns(st.text(st.characters(codec="utf-8"))))
def test_texts(rows):
    values, missing = [text for text, _ in rows], np.array([missing for _, missing in rows], np.bool_)
    made = texts(values, missing)
    made.validate(full=True)
    assert made.equals(expected(rows, pa.string()))


@settings(deadline=None)
@given(columns(st.tuples(*[st.floats(width=32, allow_nan=False)] * 3)))
def test_lists(rows):
    values, missing = parts(rows, np.float32)
    kind = pa.list_(pa.float32(), 3)
    made = lists(numbers(values.ravel(), pa.float32()), kind, missing)
    made.validate(full=True)
    assert made.equals(expected(rows, kind))


def test_a_text_that_is_none_is_refused():
    with pytest.raises(UnicodeEncodeError):
        texts(["\ud800"])


@pytest.mark.slow
def test_writing_needs_no_pandas(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", NEEDS_NO_PANDAS, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["pyarrow"]


def _with_kind(given, kind):
    values, missing = given
    return values, kind, missing
