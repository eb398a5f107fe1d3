"""The probe notices what changed, writes nothing else, and imports next to nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from components.data.config import FilesSource
from components.data.fetch import probed_files
from components.data.snapshot import read_snapshot, source_file
from components.errors import SourceError
from tests.data_project import MODEL, DataProject

ROOT = Path(__file__).resolve().parents[3]


def _source(project: DataProject) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads(source_file(MODEL, project.root).read_text())
    return payload


def _paths(project: DataProject) -> list[str]:
    return [entry["path"] for entry in _source(project)["files"]]


def test_the_first_probe_is_a_change_and_the_same_again_is_none(project: DataProject) -> None:
    project.write("trips.csv", "a,y\n1,2\n")
    project.files("trips.csv")
    assert project.probe()
    before = source_file(MODEL, project.root).stat().st_mtime_ns
    assert not project.probe()
    assert source_file(MODEL, project.root).stat().st_mtime_ns == before


def test_changed_bytes_of_the_same_length_are_a_change(project: DataProject) -> None:
    project.write("trips.csv", "a,y\n1,2\n")
    project.files("trips.csv")
    project.probe()
    project.write("trips.csv", "a,y\n1,3\n")
    assert project.probe()


def test_a_new_file_under_a_glob_is_a_change(project: DataProject) -> None:
    project.write("raw/2024/b.csv", "a,y\n1,2\n")
    project.files("raw/**/*.csv")
    project.probe()
    project.write("raw/2023/c.csv", "a,y\n1,3\n")
    assert project.probe()
    assert _paths(project) == ["raw/2023/c.csv", "raw/2024/b.csv"]


def test_a_probe_does_not_depend_on_where_the_project_stands(tmp_path: Path) -> None:
    texts = []
    for name in ("here", "elsewhere"):
        project = DataProject(tmp_path / name)
        project.write("raw/trips.csv", "a,y\n1,2\n")
        project.files("raw/*.csv")
        project.probe()
        texts.append(source_file(MODEL, project.root).read_text())
    assert texts[0] == texts[1]
    assert str(tmp_path) not in texts[0]


def test_hidden_files_are_not_matched(project: DataProject) -> None:
    project.write("raw/trips.csv", "a,y\n1,2\n")
    project.write("raw/.trips.csv.tmp.csv", "half a fi")
    project.files("raw/*.csv")
    assert project.run().rows == 1


def test_a_name_with_signs_of_a_glob_is_found_as_it_is(project: DataProject) -> None:
    project.write("trips[1].csv", "a,y\n1,2\n")
    project.files("trips[1].csv")
    assert project.run().rows == 1


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("trips.csv", "no file matches trips.csv"),
        ("raw", r"raw is a folder; name its files, as in `raw/\*.csv`"),
        ("raw/*.txt", "the ending says no format"),
        ("ftp9://somewhere/trips.csv", "is no address that can be read"),
    ],
)
def test_a_source_that_cannot_be_read_is_refused_and_the_last_probe_stays(
    project: DataProject, path: str, message: str
) -> None:
    project.write("raw/trips.txt", "a,y\n1,2\n")
    project.write("raw/trips.csv", "a,y\n1,2\n")
    project.files("raw/trips.csv")
    project.probe()
    before = _source(project)
    project.files(path)
    with pytest.raises(SourceError, match=message):
        project.probe()
    assert _source(project) == before


def test_ingest_refuses_a_source_that_was_never_probed(project: DataProject) -> None:
    project.write("trips.csv", "a,y\n1,2\n")
    project.files("trips.csv")
    with pytest.raises(SourceError, match="never probed; probe it with `towpath run trips`"):
        project.ingest()


def test_ingest_refuses_a_probe_that_cannot_be_read(project: DataProject) -> None:
    project.write("trips.csv", "a,y\n1,2\n")
    project.files("trips.csv")
    project.write("data/trips/source.json", '{"kind": "files"}')
    with pytest.raises(SourceError, match="source.json cannot be used"):
        project.ingest()


@pytest.mark.parametrize("change", ["other bytes", "gone", "other path"])
def test_ingest_refuses_a_source_that_changed_since_the_probe(project: DataProject, change: str) -> None:
    path = project.write("trips.csv", "a,y\n1,2\n")
    project.write("other.csv", "a,y\n1,2\n")
    project.files("trips.csv")
    project.run()
    before = project.table()
    if change == "other bytes":
        project.write("trips.csv", "a,y\n1,3\n")
    elif change == "gone":
        path.unlink()
    else:
        project.files("other.csv")
    with pytest.raises(SourceError, match="since the last probe of model trips .* nothing was read: probe it with"):
        project.ingest()
    assert project.table().equals(before)


def test_a_file_that_is_written_to_while_it_is_read_is_refused(project: DataProject) -> None:
    project.write("trips.csv", "a,y\n1,2\n")
    project.files("trips.csv")
    project.probe()
    source = project.section.source
    assert isinstance(source, FilesSource)
    snapshot, _ = read_snapshot(MODEL, project.root)
    with (
        pytest.raises(SourceError, match="trips.csv was written to while it was read"),
        probed_files(MODEL, source, snapshot, project.root, project.root),
    ):
        project.write("trips.csv", "a,y\n1,3\n")


def test_a_probe_again_lets_the_new_data_in(project: DataProject) -> None:
    first = project.csv("a,y\n1,2\n")
    second = project.csv("a,y\n1,3\n")
    assert project.column("y") == [3]
    assert first.source_digest != second.source_digest


@pytest.mark.parametrize(
    "source",
    [{"kind": "sklearn", "table": "digits"}, {"kind": "files", "path": "pyproject.toml", "format": "csv"}],
)
def test_probing_bundled_tables_and_local_files_imports_no_large_library(source: dict[str, str]) -> None:
    code = (
        "import sys\n"
        "from components.data.config import DataSection\n"
        "from components.data.probe import probe\n"
        f"probe(DataSection.model_validate({{'source': {source!r}, 'label': 'y'}}))\n"
        "print(sorted({'sklearn', 'numpy', 'polars', 'pyarrow', 'fsspec', 'sqlalchemy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
