"""What the process that writes takes out of a frame is what was put into it, however the bytes arrive."""

import math

import numpy as np
import pytest

from components.serving.prediction_log.frames import Decoder, Encoder
from components.serving.prediction_log.log import Entry
from components.types.dataset import MISSING_STRING
from components.types.release import Role

pytestmark = pytest.mark.slow


def entry(model, rows, *, step=1, role=Role.STABLE, answers=True, as_block=True):
    batch = model.plan.from_rows(rows, None)
    block = getattr(batch.tensors, "block", None) if as_block else None
    tensors = batch.tensors if block is None else {}
    outputs = model.predict(batch) if answers else None
    return Entry(model, role, 3, "id", 2**64 - 1, tensors, block, outputs, len(rows), step, 0, 1.5, 0.25, 200)


def crossed(*entries):
    return Decoder().decode(b"".join(Encoder().encode(entries)))


@pytest.mark.parametrize("as_block", [True, False])
@pytest.mark.parametrize("rows", [1, 7, 500])
def test_numbers_cross_small_and_large(served, rows, as_block):
    model = served("network")
    values = np.random.default_rng(0).normal(size=(rows, 30))
    sent = entry(model, values.tolist(), as_block=as_block)
    (found,) = crossed(sent)
    inputs = found.tensors if found.block is None else found.block
    assert (found.block is not None) == as_block
    assert np.array_equal(np.array(inputs), values.T)
    assert found.prediction == sent.outputs["prediction"].tolist()
    assert np.array_equal(found.probabilities, sent.outputs["probabilities"])
    assert found.version == (model.ref, model.signature)
    assert found[1:10] == ("stable", 3, "id", 2**64 - 1, rows, 1, 1.5, 0.25, 200)


@pytest.mark.parametrize("as_block", [True, False])
def test_of_every_third_row_only_these_cross(served, as_block):
    (found,) = crossed(entry(served("sum"), [[float(row)] for row in range(10)], step=3, as_block=as_block))
    assert np.array(found.tensors if found.block is None else found.block).tolist() == [[0.0, 3.0, 6.0, 9.0]]
    assert found.prediction.tolist() == [0.0, 3.0, 6.0, 9.0]
    assert found.logged_rows == 4


def test_texts_truths_and_missing_values_cross(served):
    (found,) = crossed(entry(served("mixed"), [[None, 4, True, "Oslo \ud800"], [31.5, -2, False, None]], answers=False))
    age, visits, smoker, city = found.tensors
    assert math.isnan(age[0])
    assert age[1] == 31.5
    assert visits.tolist() == [4, -2]
    assert smoker.tolist() == [True, False]
    assert city == ["Oslo \ud800", MISSING_STRING]
    assert found.prediction is None
    assert found.probabilities is None


def test_an_image_crosses_row_by_row(served):
    (found,) = crossed(entry(served("image"), [[0.0, 0.25, 0.5, 0.75], [1.0, 0.5, 0.0, 0.25]], role=None))
    assert found.tensors[0].tolist() == [0.0, 0.25, 0.5, 0.75, 1.0, 0.5, 0.0, 0.25]
    assert found.role == ""


def test_frames_may_arrive_in_any_pieces(served):
    encoder, decoder = Encoder(), Decoder()
    sent = [entry(served("sum"), [[float(row)] for row in range(rows)]) for rows in (1, 1_000, 2)]
    sent += [entry(served("mixed"), [[1.0, 2, True, "x" * 10_000]]), entry(served("sum", 4), [[1.0]])]
    whole = b"".join(part for each in sent for part in encoder.encode([each]))
    found = []
    for start in range(0, len(whole), 777):
        found += decoder.decode(whole[start : start + 777])
    assert [each.rows for each in found] == [1, 1_000, 2, 1, 1]
    assert [(each.version.ref.model, each.version.ref.version) for each in found] == [
        ("sum", 3), ("sum", 3), ("sum", 3), ("mixed", 3), ("sum", 4),
    ]  # fmt: skip
    assert found[1].prediction.tolist() == [float(row) for row in range(1_000)]


def test_what_holds_for_a_version_crosses_once(served):
    encoder, model = Encoder(), served("network")
    first, second = (sum(part.nbytes for part in encoder.encode([entry(model, [[0.5] * 30])])) for _ in range(2))
    assert second < 500 < first


def test_an_entry_that_cannot_be_encoded_leaves_the_encoder_as_it_was(served):
    encoder, good = Encoder(), entry(served("sum"), [[1.0]])
    with pytest.raises(ValueError, match="unmarshallable"):
        encoder.encode([good, good._replace(status=object())])
    (found,) = Decoder().decode(b"".join(encoder.encode([good])))
    assert found.version.ref == good.model.ref


def test_large_arrays_are_sent_from_where_they_lie(served):
    sent = entry(served("network"), [[0.5] * 30] * 500)
    _, *tail = Encoder().encode([sent])
    assert np.shares_memory(np.frombuffer(tail[0]), sent.block)
