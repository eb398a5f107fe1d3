from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from components.errors import ConfigError, UnknownNameError
from components.stage.config import Section, read_section


class Inner(Section):
    kind: Literal["files"]
    path: str
    chunk_rows: int = 10


class Other(Section):
    kind: Literal["sql"]
    query: str


class Outer(Section):
    source: Annotated[Inner | Other, Field(discriminator="kind")]
    label: str = "y"


def section(tmp_path: Path, text: str) -> Outer:
    path = tmp_path / "taxi.yaml"
    path.write_text(f"models:\n  taxi:\n    data: {text}\n")
    return read_section(path, "models.taxi.data", Outer)


def test_a_right_section_is_read(tmp_path: Path) -> None:
    assert section(tmp_path, "{source: {kind: sql, query: SELECT 1}}").source == Other(kind="sql", query="SELECT 1")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "{source: {kind: files, path: x, chunk_row: 3}}",
            r"unknown key `models.taxi.data.source.files.chunk_row` \(did you mean `chunk_rows`\?\)",
        ),
        (
            "{source: {kind: sql, query: x}, lable: y}",
            r"unknown key `models.taxi.data.lable` \(did you mean `label`\?\)",
        ),
        (
            "{source: {kind: files, path: x, chunk_rows: many}}",
            "chunk_rows`: input should be a valid integer.*found 'many'",
        ),
        ("{source: {kind: files}}", "`models.taxi.data.source.files.path`: field required"),
        ("{source: {kind: csv}}", "'files', 'sql'"),
        ("[1, 2]", "`models.taxi.data`: "),
    ],
)
def test_a_wrong_key_is_named_by_its_full_path(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        section(tmp_path, text)


def test_a_missing_section_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="no configuration"):
        read_section(tmp_path / "taxi.yaml", "models.taxi.data", Outer)
    (tmp_path / "taxi.yaml").write_text("models: {taxi: {}}")
    with pytest.raises(ConfigError, match="key `models.taxi.data` is missing"):
        read_section(tmp_path / "taxi.yaml", "models.taxi.data", Outer)
    (tmp_path / "taxi.yaml").write_text("models: [")
    with pytest.raises(ConfigError, match="not valid YAML"):
        read_section(tmp_path / "taxi.yaml", "models.taxi.data", Outer)
