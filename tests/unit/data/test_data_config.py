"""What the data section allows, and how it says what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.data.config import DataSection, FilesSource
from components.errors import ConfigError
from components.stage.config import check_section

WINE = {"kind": "sklearn", "table": "wine"}


def _check(content: dict[str, Any]) -> DataSection:
    return check_section(content, DataSection, Path("trips.yaml"), "models.trips.data")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"source": {"kind": "sklearn", "table": "iris"}, "label": "y"}, "source.sklearn.table"),
        ({"source": {"kind": "excel"}, "label": "y"}, "models.trips.data.source"),
        ({"source": WINE}, "`models.trips.data.label`"),
        (
            {"source": WINE, "label": "y", "dropp": ["a"]},
            r"unknown key `models.trips.data.dropp` \(did you mean `drop`",
        ),
        ({"source": WINE, "label": {"name": "y", "keep": ["a"]}}, "`keep` names columns of an expression"),
        ({"source": WINE, "label": "y", "types": {"a": "float32"}}, "types.a"),
        ({"source": {"kind": "sql", "query": "select 1"}, "label": "y"}, "give either `url` or `url_env`"),
        (
            {"source": {"kind": "sql", "url": "postgresql://me:secret@host/db", "query": "select 1"}, "label": "y"},
            "name it in `url_env`",
        ),
        ({"source": {"kind": "files", "path": "https://me:secret@host/a.csv"}, "label": "y"}, "holds a password"),
        ({"source": {"kind": "files", "path": "a.csv", "csv": {"separator": "::"}}, "label": "y"}, "csv.separator"),
    ],
)
def test_a_wrong_key_is_named_with_its_path(content: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _check(content)


def test_a_password_is_not_repeated_in_the_refusal() -> None:
    with pytest.raises(ConfigError) as caught:
        _check({"source": {"kind": "files", "path": "https://me:secret@host/a.csv"}, "label": "y"})
    assert "secret" not in str(caught.value)


def test_a_label_may_be_written_as_its_name() -> None:
    assert _check({"source": WINE, "label": "cultivar"}).label.name == "cultivar"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.csv", "csv"),
        ("a.TSV", "csv"),
        ("a.csv.gz", "csv"),
        ("a.parquet", "parquet"),
        ("a.ndjson.zst", "jsonl"),
        ("https://host/a.jsonl?raw=1", "jsonl"),
        ("a.txt", None),
    ],
)
def test_the_ending_says_the_format(name: str, expected: str | None) -> None:
    assert FilesSource(kind="files", path=name).format_of(name) == expected
