"""What of a prediction the judge compares: a number per request, and scores for the drift. Knows no file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any
from zlib import crc32

import numpy as np

from components.errors import BadInputError
from components.runtime.protocol import PREDICTION, PROBABILITIES

Outputs = Mapping[str, np.ndarray]

_MOST_ROWS = 100
"""So many rows of one request say enough about the distribution; more would only weigh it more."""
_SMALLEST_ERROR_DECADE, _BINS_PER_DECADE, _LAST_BIN = 12, 32, 767


def value_of(outputs: Outputs) -> tuple[float, bool] | None:
    """Return a prediction of one row as a number, and whether that stands for a class; None for several rows."""
    prediction = outputs[PREDICTION]
    if len(prediction) != 1:
        return None
    if PROBABILITIES in outputs:
        return _class_number(prediction[0]), True
    return float(prediction[0]), False


def label_of(label: Any, is_class: bool) -> float:
    """Return a true label as the number that `value_of` gives for the same prediction.

    Raises:
        BadInputError: it is no class name, or no number.
    """
    if is_class and isinstance(label, (str, int, bool)):
        return _class_number(label)
    if is_class and isinstance(label, float) and label.is_integer():
        return _class_number(int(label))
    if not is_class and isinstance(label, (int, float)) and not isinstance(label, bool) and math.isfinite(label):
        return float(label)
    raise BadInputError(f"the label {str(label)[:50]!r} is no {'class' if is_class else 'finite number'} of this model")


def scores_of(outputs: Outputs) -> list[float]:
    """Return what is compared between two versions' distributions.

    The number itself, or the probability of the second of two classes, or which one of several classes.
    """
    probabilities = outputs.get(PROBABILITIES)
    if probabilities is None:
        chosen = outputs[PREDICTION][:_MOST_ROWS]
    elif probabilities.shape[1] == 2:
        chosen = probabilities[:_MOST_ROWS, 1]
    else:
        chosen = probabilities[:_MOST_ROWS].argmax(axis=1)
    scores: list[float] = chosen.tolist()
    return scores


def differ(one: Outputs, other: Outputs) -> bool:
    """Return whether two answers to one request differ in any row: in the class, or by more than a millionth."""
    first, second = one[PREDICTION], other[PREDICTION]
    if len(first) != len(second):
        return True
    if PROBABILITIES in one or PROBABILITIES in other:
        return first.tolist() != second.tolist()
    return not np.allclose(first, second, rtol=1e-6, atol=1e-9)


def error_bin(error: float) -> int:
    """Return the bin of an absolute error: 24 decades around 1, each bin 7.5 % wider than the one before."""
    if error <= 10.0**-_SMALLEST_ERROR_DECADE:
        return 0
    return min(int((math.log10(error) + _SMALLEST_ERROR_DECADE) * _BINS_PER_DECADE), _LAST_BIN)


def _class_number(name: Any) -> float:
    return float(crc32(str(name).encode()))
