"""Files from a web server: with and without ETags, changed between probe and ingest, and out of reach."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from components.data.snapshot import read_snapshot
from components.errors import InfrastructureError, SourceError
from components.stage.files import file_digest
from tests.data_project import MODEL, DataProject


class _Folder(SimpleHTTPRequestHandler):
    """Serves a folder; ``etag=1`` in the address asks for an ETag, ``fail=N`` for status N."""

    def send_head(self) -> Any:
        if "fail=" in self.path:
            self.send_error(int(self.path.partition("fail=")[2]))
            return None
        return super().send_head()

    def end_headers(self) -> None:
        if "etag=1" in self.path:
            self.send_header("ETag", f'"{file_digest(Path(self.translate_path(self.path)))}"')
        super().end_headers()

    def log_message(self, *args: Any, **kwargs: Any) -> None:
        """Say nothing."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """Give a folder and the address under which it is served."""
    folder = tmp_path / "served"
    folder.mkdir()

    def handler(*args: Any) -> _Folder:
        return _Folder(*args, directory=str(folder))

    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("query", ["", "?etag=1"])
def test_a_file_is_read_from_a_web_server(project: DataProject, served: tuple[Path, str], query: str) -> None:
    folder, address = served
    (folder / "trips.csv").write_text("a,y\n1,2\n")
    project.files(f"{address}/trips.csv{query}")
    assert project.probe()
    assert not project.probe()
    project.ingest()
    assert project.table().rows() == [(0, 1, 2)]
    entry = read_snapshot(MODEL, project.root)[0].files[0]
    assert (entry.etag is None, entry.sha256 is None) == (query == "", query != "")


@pytest.mark.parametrize("query", ["", "?etag=1"])
def test_a_file_that_changed_since_the_probe_is_refused(
    project: DataProject, served: tuple[Path, str], query: str
) -> None:
    folder, address = served
    (folder / "trips.csv").write_text("a,y\n1,2\n")
    project.files(f"{address}/trips.csv{query}")
    project.probe()
    (folder / "trips.csv").write_text("a,y\n1,3\n")
    with pytest.raises(SourceError, match=r"trips.csv\S* has changed since the last probe"):
        project.ingest()
    assert not project.dataset.exists()
    assert project.probe()
    assert project.ingest().rows == 1


def test_a_compressed_file_is_read_from_a_web_server(project: DataProject, served: tuple[Path, str]) -> None:
    import gzip

    folder, address = served
    (folder / "trips.csv.gz").write_bytes(gzip.compress(b"a,y\n1,2\n"))
    project.files(f"{address}/trips.csv.gz?etag=1")
    project.run()
    assert project.table().rows() == [(0, 1, 2)]


def test_a_missing_file_is_the_users_to_correct(project: DataProject, served: tuple[Path, str]) -> None:
    project.files(f"{served[1]}/nothing.csv")
    with pytest.raises(SourceError, match=r"nothing\.csv"):
        project.probe()


@pytest.mark.parametrize("status", [401, 403])
def test_a_forbidden_file_is_the_users_to_correct(project: DataProject, served: tuple[Path, str], status: int) -> None:
    project.files(f"{served[1]}/trips.csv?fail={status}")
    with pytest.raises(SourceError):
        project.probe()


def test_a_failing_server_may_be_tried_again(project: DataProject, served: tuple[Path, str]) -> None:
    project.files(f"{served[1]}/trips.csv?fail=503")
    with pytest.raises(InfrastructureError):
        project.probe()


def test_a_server_that_does_not_answer_may_be_tried_again(project: DataProject, free_port: Any) -> None:
    project.files(f"http://127.0.0.1:{free_port()}/trips.csv")
    with pytest.raises(InfrastructureError, match="cannot be reached"):
        project.probe()
