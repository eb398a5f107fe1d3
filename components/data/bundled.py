"""The tables that come with scikit-learn: their files and their rows. The probe never imports scikit-learn."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.data.snapshot import FileEntry, Snapshot
from components.errors import SourceError
from components.stage.files import file_digest

if TYPE_CHECKING:
    import polars as pl

_FILES = {
    "breast_cancer": ("breast_cancer.csv",),
    "digits": ("digits.csv.gz",),
    "diabetes": ("diabetes_data_raw.csv.gz", "diabetes_target.csv.gz"),
    "wine": ("wine_data.csv",),
}


def probe_bundled(table: str) -> Snapshot:
    """Return what tells this table from another release of scikit-learn's.

    Raises:
        SourceError: scikit-learn is not installed, or its file is not there.
    """
    return Snapshot(kind="sklearn", origin=table, files=tuple(_entry(name) for name in _FILES[table]))


def read_bundled(table: str) -> pl.DataFrame:
    """Return a table with its label; names hold letters, digits and underscores only."""
    import polars as pl
    from sklearn import datasets

    columns, label, target = _LOADERS[table](datasets)
    names = [re.sub(r"\W+", "_", name) for name in columns]
    return pl.DataFrame({**dict(zip(names, columns.values(), strict=True)), label: target})


def _entry(name: str) -> FileEntry:
    spec = find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        raise SourceError("scikit-learn is not installed, and the source is one of its tables; install scikit-learn")
    path = Path(spec.submodule_search_locations[0]) / "datasets" / "data" / name
    if not path.is_file():
        raise SourceError(f"scikit-learn's file {name} is missing from {path.parent}; install scikit-learn again")
    return FileEntry(path=f"sklearn/datasets/data/{name}", size_bytes=path.stat().st_size, sha256=file_digest(path))


_Loaded = tuple[dict[str, Any], str, Any]


def _breast_cancer(datasets: Any) -> _Loaded:
    bunch = datasets.load_breast_cancer()
    return _columns(bunch.feature_names, bunch.data), "diagnosis", bunch.target_names[bunch.target].tolist()


def _digits(datasets: Any) -> _Loaded:
    bunch = datasets.load_digits()
    names = [f"pixel_{row}_{column}" for row in range(8) for column in range(8)]
    return _columns(names, bunch.data), "digit", bunch.target.tolist()


def _diabetes(datasets: Any) -> _Loaded:
    bunch = datasets.load_diabetes(scaled=False)
    return _columns(bunch.feature_names, bunch.data), "progression", bunch.target


def _wine(datasets: Any) -> _Loaded:
    bunch = datasets.load_wine()
    return _columns(bunch.feature_names, bunch.data), "cultivar", bunch.target_names[bunch.target].tolist()


def _columns(names: Any, data: Any) -> dict[str, Any]:
    return {str(name): data[:, index] for index, name in enumerate(names)}


_LOADERS: dict[str, Callable[[Any], _Loaded]] = {
    "breast_cancer": _breast_cancer,
    "digits": _digits,
    "diabetes": _diabetes,
    "wine": _wine,
}
