"""When a served answer is the offline prediction, and when it is not."""

from math import inf, nan

import pytest

from pipelines.release.replay import difference


@pytest.mark.parametrize(
    ("served", "offline", "apart"),
    [
        (
            {"prediction": "yes", "probabilities": [0.25, 0.75]},
            {"prediction": "yes", "probabilities": [0.25, 0.5]},
            0.25,
        ),
        ({"prediction": 2.0}, {"prediction": 2.0}, 0.0),
        ({"prediction": 2}, {"prediction": 2.0}, 0.0),
        ({"prediction": 1010.0}, {"prediction": 1000.0}, 0.01),
        ({"prediction": 0.1}, {"prediction": 0.0}, 0.1),
    ],
)
def test_numbers_are_compared_absolutely_and_above_one_in_proportion(served: dict, offline: dict, apart: float) -> None:
    assert difference(served, offline) == pytest.approx(apart)


@pytest.mark.parametrize(
    ("served", "offline"),
    [
        ({"prediction": "no"}, {"prediction": "yes"}),
        ({"prediction": True}, {"prediction": 1}),
        ({"prediction": 1}, {"prediction": True}),
        ({"prediction": "1"}, {"prediction": 1}),
        ({"prediction": None}, {"prediction": 1.0}),
        ({"prediction": nan}, {"prediction": 1.0}),
        ({"prediction": 1.0}, {"prediction": nan}),
        ({"prediction": "yes"}, {"prediction": "yes", "probabilities": [0.5, 0.5]}),
        ({"prediction": "yes", "probabilities": [1.0]}, {"prediction": "yes", "probabilities": [0.5, 0.5]}),
        ({}, {"prediction": 1.0}),
    ],
)
def test_a_label_a_shape_or_no_number_is_never_near(served: dict, offline: dict) -> None:
    assert difference(served, offline) == inf
