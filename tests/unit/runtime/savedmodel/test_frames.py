"""What goes over the wire comes out as it went in; what is no frame is refused, and nothing of it is run."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from components.runtime.savedmodel import frames
from components.runtime.savedmodel.frames import MAX_HEADER_BYTES, MAX_PAYLOAD_BYTES, PREFIX, FrameError, pack

ARRAYS = hnp.arrays(
    st.sampled_from([np.float64, np.float32, np.int64, np.bool_]), hnp.array_shapes(max_dims=3, min_side=0)
)
TEXTS = hnp.arrays(object, hnp.array_shapes(max_dims=2, min_side=0), elements=st.text(max_size=9), fill=st.nothing())


def read(frame):
    header_bytes, payload_bytes = frames.sizes(frame[: PREFIX.size])
    content = memoryview(frame)[PREFIX.size :]
    assert len(content) == header_bytes + payload_bytes
    return frames.unpack(content, header_bytes)


@given(st.dictionaries(st.text(max_size=5), ARRAYS, max_size=4))
def test_numbers_come_out_as_they_went_in(tensors):
    header, found = read(pack({"seconds": 0.5}, tensors))
    assert header == {"seconds": 0.5}
    assert list(found) == list(tensors)
    for name, array in tensors.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


@given(TEXTS)
def test_text_comes_out_as_it_went_in(array):
    _, found = read(pack({}, {"text": array}))
    assert frames.texts(found["text"]).tolist() == array.tolist()
    assert found["text"].shape == array.shape


def test_text_may_be_bytes_or_of_fixed_width_and_keeps_its_zeros():
    for array in (np.array([b"a\x00", "\ufdd0".encode()], object), np.array(["a\x00b", "\ufdd0"])):
        _, found = read(pack({}, {"x": array}))
        expected = [each if isinstance(each, bytes) else each.encode() for each in array.tolist()]
        assert found["x"].tolist() == expected


def test_columns_of_a_table_need_not_be_contiguous():
    table = np.arange(12.0).reshape(4, 3)
    _, found = read(pack({}, {"x": table[:, 1], "y": np.asfortranarray(table)}))
    assert found["x"].tolist() == [1, 4, 7, 10]
    np.testing.assert_array_equal(found["y"], table)


@pytest.mark.parametrize("array", [np.zeros(2, np.int32), np.zeros(2, complex), np.array(["now"], "datetime64[s]")])
def test_other_types_are_refused(array):
    with pytest.raises(FrameError, match="which no frame takes"):
        pack({}, {"x": array})


def test_half_a_surrogate_pair_is_refused():
    with pytest.raises(UnicodeEncodeError):
        pack({}, {"x": np.array(["\ud800"], object)})


@pytest.mark.parametrize("sizes", [(MAX_HEADER_BYTES + 1, 0), (2, MAX_PAYLOAD_BYTES + 1), (2**32 - 1, 2**64 - 1)])
def test_a_frame_that_says_it_is_too_large_is_refused_before_it_is_read(sizes):
    with pytest.raises(FrameError, match="too large"):
        frames.sizes(PREFIX.pack(*sizes))


@pytest.mark.parametrize(
    ("tensors", "payload"),
    [
        ([["x", "float64", [2], 16]], b"\x00" * 15),
        ([["x", "float64", [2], 15]], b"\x00" * 15),
        ([["x", "float64", [2], 16]], b"\x00" * 17),
        ([["x", "float64", [-2], 16]], b"\x00" * 16),
        ([["x", "float64", [2.0], 16]], b"\x00" * 16),
        ([["x", "float64", [2], -16]], b"\x00" * 16),
        ([["x", "object", [2], 16]], b"\x00" * 16),
        ([["x", ["float64"], [2], 16]], b"\x00" * 16),
        ([["x", "string", [2], 6]], b"\x01\x00\x00\x00ab"),
        ([["x", "string", [1], 6]], b"\x03\x00\x00\x00ab"),
        ([["x", "string", [1], 6]], b"\x01\x00\x00\x00ab"),
        ([["x", "string", [0], 1]], b"a"),
        ([["x", "float64"]], b""),
        ("no list", b""),
        (None, b""),
    ],
)
def test_what_is_no_frame_is_refused(tensors, payload):
    header = json.dumps({"tensors": tensors}).encode()
    with pytest.raises(FrameError):
        frames.unpack(memoryview(header + payload), len(header))


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_a_frame_or_refused_and_nothing_else(content):
    with pytest.raises(FrameError):
        frames.unpack(memoryview(content), min(len(content), 30))
