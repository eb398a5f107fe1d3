"""A fitted object as a file without pickle, and the same object gives the same bytes. Knows no framework.

The file is a zip of ``object.json`` and arrays (``.npy``, no object arrays). Reading it makes objects of the packages
that the reader names, and calls nothing else.
"""

from __future__ import annotations

import importlib
import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from components.errors import TrainingError

_DOCUMENT = "object.json"
_EPOCH = (1980, 1, 1, 0, 0, 0)
_CONSTRUCTORS = ("__bit_generator_ctor", "__generator_ctor", "__randomstate_ctor", "newObj")
"""Functions of numpy.random and of scikit-learn's neighbour trees that stand for a class; those that Cython generates
(``__pyx_unpickle_…``) are the others."""


def write_object(value: Any, path: Path, packages: Sequence[str]) -> None:
    """Write `value`: plain types, arrays, and objects of classes in `packages`.

    Raises:
        TrainingError: it holds something else.
    """
    arrays: list[Any] = []
    document = json.dumps(_Writer(packages, arrays).encode(value))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo(_DOCUMENT, _EPOCH), document, zipfile.ZIP_DEFLATED)
        for number, array in enumerate(arrays):
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{number}.npy", _EPOCH), buffer.getvalue(), zipfile.ZIP_DEFLATED)


def read_object(path: Path, packages: Sequence[str]) -> Any:
    """Return what `write_object` wrote.

    Raises:
        TrainingError: the file is damaged, or holds an object of another package.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = [
                np.lib.format.read_array(io.BytesIO(archive.read(f"{number}.npy")), allow_pickle=False)
                for number in range(len(archive.namelist()) - 1)
            ]
            return _Reader(packages, arrays).decode(json.loads(archive.read(_DOCUMENT)))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise TrainingError(f"{path} cannot be read ({error}); delete it and train again") from error


class _Writer:
    """Turns a value into JSON: plain values as they are, everything else as a list that begins with its kind."""

    def __init__(self, packages: Sequence[str], arrays: list[Any]) -> None:
        self._packages = packages
        self._arrays = arrays

    def encode(self, value: Any) -> Any:
        if value is None or type(value) in (bool, int, float, str):
            return value
        if type(value) in (list, tuple):
            return [type(value).__name__, *map(self.encode, value)]
        if type(value) is dict:
            return ["dict", *([self.encode(key), self.encode(item)] for key, item in value.items())]
        if isinstance(value, np.ndarray) and value.dtype.hasobject:
            return ["objects", list(value.shape), *map(self.encode, value.ravel().tolist())]
        if isinstance(value, (np.ndarray, np.generic)):
            self._arrays.append(_without_padding(np.asarray(value)))
            return ["array" if isinstance(value, np.ndarray) else "scalar", len(self._arrays) - 1]
        if isinstance(value, np.dtype):
            return ["dtype", str(value.str)]
        if isinstance(value, type):
            return ["type", _name(value, self._packages)]
        return self._encode_object(value)

    def _encode_object(self, value: Any) -> Any:
        constructor, arguments, *rest = value.__reduce_ex__(2)
        if any(each is not None for each in rest[1:]):
            raise TrainingError(f"{type(value).__qualname__} cannot be stored without pickle; choose another estimator")
        kind = "call"
        if constructor.__qualname__ == "__newobj__":  # copyreg's: the class comes first
            kind, (constructor, *arguments) = "new", arguments
        state = rest[0] if rest else None
        return [kind, _name(constructor, self._packages), self.encode(tuple(arguments)), self.encode(state)]


class _Reader:
    """Turns what `_Writer` made back into the value."""

    def __init__(self, packages: Sequence[str], arrays: list[Any]) -> None:
        self._packages = packages
        self._arrays = arrays

    def decode(self, node: Any) -> Any:
        if not isinstance(node, list):
            return node
        kind, *rest = node
        if kind in ("list", "tuple"):
            items = [self.decode(each) for each in rest]
            return items if kind == "list" else tuple(items)
        if kind == "dict":
            return {self.decode(key): self.decode(item) for key, item in rest}
        if kind == "objects":
            array = np.empty(len(rest) - 1, dtype=object)
            array[:] = [self.decode(each) for each in rest[1:]]
            return array.reshape(rest[0])
        if kind in ("array", "scalar"):
            return self._arrays[rest[0]] if kind == "array" else self._arrays[rest[0]][()]
        if kind == "dtype":
            return np.dtype(rest[0])
        return _find(rest[0], self._packages) if kind == "type" else self._decode_object(kind, *rest)

    def _decode_object(self, kind: str, name: str, arguments: Any, state: Any) -> Any:
        constructor, values, content = _find(name, self._packages), self.decode(arguments), self.decode(state)
        made = constructor.__new__(constructor, *values) if kind == "new" else constructor(*values)
        if hasattr(made, "__setstate__"):
            if content is not None:
                made.__setstate__(content)
        elif content:
            made.__dict__.update(content)
        return made


def _without_padding(array: Any) -> Any:
    """Return records with zeros between their fields, where memory holds whatever was there before."""
    if array.dtype.names is None:
        return array
    clean = np.zeros(array.shape, array.dtype)
    for name in array.dtype.names:
        clean[name] = array[name]
    return clean


def _name(value: Any, packages: Sequence[str]) -> str:
    name = f"{value.__module__}:{value.__qualname__}"
    _find(name, packages)
    return name


def _find(name: str, packages: Sequence[str]) -> Any:
    """Return a class, or one of the functions that stand for one."""
    module, _, attribute = name.partition(":")
    allowed = module.partition(".")[0] in packages
    found = getattr(importlib.import_module(module), attribute, None) if allowed else None
    generated = attribute.startswith("__pyx_unpickle_") or attribute in _CONSTRUCTORS
    if not (isinstance(found, type) or (generated and callable(found))):
        raise TrainingError(f"{name} is no class of {', '.join(packages)}, and is not stored or read without pickle")
    return found
