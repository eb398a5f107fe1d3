"""What the process that writes takes out of a frame is what was put into it, however the bytes arrive."""

import math

import numpy as np
import pytest

from components.serving.input_plan import Batch
from components.serving.prediction_log.frames import Decoder, Packer, frame
from components.types.dataset import MISSING_STRING

pytestmark = pytest.mark.slow


def pack(packer, model, rows, *, step=1, role="stable", answers=True, as_block=True, status=200):
    batch = model.plan.from_rows(rows, None)
    outputs = model.predict(batch) if answers else None
    if not as_block:
        batch = Batch(dict(batch.tensors), batch.rows)
    return packer.pack(model, role, 3, "id", 2**64 - 1, batch, outputs, 0.25, status, step), batch, outputs


def crossed(model, rows, **how):
    packer = Packer()
    packed, _, outputs = pack(packer, model, rows, **how)
    (found,) = Decoder().decode(b"".join(frame(packer.facts, [packed])))
    assert found.logged_rows == packed.rows
    return found, outputs


@pytest.mark.parametrize("as_block", [True, False])
@pytest.mark.parametrize("rows", [1, 7, 500])
def test_numbers_cross_small_and_large(served, rows, as_block):
    model = served("network")
    values = np.random.default_rng(0).normal(size=(rows, 30))
    found, outputs = crossed(model, values.tolist(), as_block=as_block)
    inputs = found.tensors if found.block is None else found.block
    assert (found.block is not None) == as_block
    assert np.array_equal(np.array(inputs), values.T)
    assert found.prediction == outputs["prediction"].tolist()
    assert np.array_equal(found.probabilities, outputs["probabilities"])
    assert found.version == (model.ref, model.signature)
    assert found[1:7] == ("stable", 3, "id", 2**64 - 1, rows, 1)
    assert found[8:10] == (0.25, 200)


@pytest.mark.parametrize("as_block", [True, False])
def test_of_every_third_row_only_these_cross(served, as_block):
    found, _ = crossed(served("sum"), [[float(row)] for row in range(10)], step=3, as_block=as_block)
    assert np.array(found.tensors if found.block is None else found.block).tolist() == [[0.0, 3.0, 6.0, 9.0]]
    assert found.prediction.tolist() == [0.0, 3.0, 6.0, 9.0]
    assert found.logged_rows == 4


def test_texts_truths_and_missing_values_cross(served):
    found, _ = crossed(served("mixed"), [[None, 4, True, "Oslo \ud800"], [31.5, -2, False, None]], answers=False)
    age, visits, smoker, city = found.tensors
    assert math.isnan(age[0])
    assert age[1] == 31.5
    assert visits.tolist() == [4, -2]
    assert smoker.tolist() == [True, False]
    assert city == ["Oslo \ud800", MISSING_STRING]
    assert found.prediction is None
    assert found.probabilities is None


def test_an_image_crosses_row_by_row(served):
    found, _ = crossed(served("image"), [[0.0, 0.25, 0.5, 0.75], [1.0, 0.5, 0.0, 0.25]], role="")
    assert found.tensors[0].tolist() == [0.0, 0.25, 0.5, 0.75, 1.0, 0.5, 0.0, 0.25]
    assert found.role == ""


def test_frames_may_arrive_in_any_pieces(served):
    packer, decoder, told, whole = Packer(), Decoder(), 0, b""
    offered = [(served("sum"), [[float(row)] for row in range(rows)]) for rows in (1, 1_000, 2)]
    offered += [(served("mixed"), [[1.0, 2, True, "x" * 10_000]]), (served("sum", 4), [[1.0]])]
    for model, rows in offered:
        packed, _, _ = pack(packer, model, rows)
        whole += b"".join(frame(packer.facts[told:], [packed]))
        told = len(packer.facts)
    found = []
    for start in range(0, len(whole), 777):
        found += decoder.decode(whole[start : start + 777])
    assert [each.rows for each in found] == [1, 1_000, 2, 1, 1]
    assert [(each.version.ref.model, each.version.ref.version) for each in found] == [
        ("sum", 3), ("sum", 3), ("sum", 3), ("mixed", 3), ("sum", 4),
    ]  # fmt: skip
    assert found[1].prediction.tolist() == [float(row) for row in range(1_000)]


def test_what_holds_for_a_version_is_not_in_its_entries(served):
    packer, model = Packer(), served("network")
    packed = [pack(packer, model, [[0.5] * 30])[0] for _ in range(2)]
    assert len(packer.facts) == 1
    with_facts, without = (sum(part.nbytes for part in frame(facts, packed)) for facts in (packer.facts, []))
    assert without < 1_000 < with_facts


def test_large_arrays_are_sent_from_where_they_lie(served):
    packed, batch, _ = pack(Packer(), served("network"), [[0.5] * 30] * 500)
    assert np.shares_memory(np.frombuffer(packed.tail[0]), batch.tensors.block)
    assert packed.size_bytes > batch.tensors.block.nbytes
