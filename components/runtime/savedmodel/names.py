"""How a raw column is called inside a SavedModel. Knows no TensorFlow; a training's own environment imports it, too.

TensorFlow names an input by letters, digits, ``_`` and ``.``, and begins it with a letter; a column may have any name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from components.errors import ConfigError

_OTHER = re.compile(r"[^A-Za-z0-9_.]")
_LETTER = re.compile(r"[A-Za-z]")


def input_key(name: str) -> str:
    """Return the key of the column called `name` in a ``serving_default`` signature."""
    key = _OTHER.sub("_", name)
    return key if _LETTER.match(key) else f"c_{key}"


def input_keys(names: Iterable[str]) -> dict[str, str]:
    """Return the key of every column, by the column's name.

    Raises:
        ConfigError: two columns have one key.
    """
    keys: dict[str, str] = {}
    taken: dict[str, str] = {}
    for name in names:
        key = input_key(name)
        if (other := taken.setdefault(key, name)) != name:
            raise ConfigError(
                f"columns `{other}` and `{name}` would both be called `{key}` in a SavedModel; rename one of them in "
                "the source's SQL or file"
            )
        keys[name] = key
    return keys
