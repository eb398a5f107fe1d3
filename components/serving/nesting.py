"""Lists within lists to one flat list, every length checked. Knows nothing of what the values are."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

from components.errors import SchemaError


def flat_values(nested: list[Any], shape: Sequence[int], name: str) -> list[Any]:
    """Return the values of nested lists of `shape`, in row-major order.

    Raises:
        SchemaError: something is no list where one is expected, or has another length.
    """
    level = [nested]
    for depth, length in enumerate(shape):
        for each in level:
            if type(each) is not list or len(each) != length:
                found = f"a list of {len(each)}" if type(each) is list else "something that is no list"
                raise SchemaError(
                    f"`{name}`: expected nested lists of shape {list(shape)}, found {found} at level {depth + 1}"
                )
        level = list(chain.from_iterable(level))
    return level
