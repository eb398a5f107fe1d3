"""Objects in an S3 store, by name and by glob; the store is moto's server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from components.data.snapshot import read_snapshot
from components.errors import InfrastructureError, SourceError
from tests.data_project import MODEL, DataProject

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def store_address() -> Iterator[str]:
    server_module = pytest.importorskip("moto.server")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(store_address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    boto3, s3fs = pytest.importorskip("boto3"), pytest.importorskip("s3fs")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", store_address)
    bucket = boto3.resource("s3").Bucket("trips")
    bucket.create()
    yield bucket
    bucket.objects.delete()
    bucket.delete()
    s3fs.S3FileSystem.clear_instance_cache()


def test_objects_are_read_in_the_order_of_their_names(project: DataProject, bucket: Any) -> None:
    bucket.put_object(Key="raw/2.csv", Body=b"a,y\n3,4\n")
    bucket.put_object(Key="raw/1.csv", Body=b"a,y\n1,2\n")
    bucket.put_object(Key="raw/notes.txt", Body=b"no data")
    project.files("s3://trips/raw/*.csv")
    assert project.probe()
    assert not project.probe()
    project.ingest()
    assert project.table().rows() == [(0, 1, 2), (1, 3, 4)]
    files = read_snapshot(MODEL, project.root)[0].files
    assert [(entry.path, entry.size_bytes) for entry in files] == [
        ("s3://trips/raw/1.csv", 8),
        ("s3://trips/raw/2.csv", 8),
    ]
    assert all(entry.etag and entry.sha256 is None for entry in files)


def test_a_new_or_changed_object_is_noticed(project: DataProject, bucket: Any) -> None:
    bucket.put_object(Key="raw/1.csv", Body=b"a,y\n1,2\n")
    project.files("s3://trips/raw/*.csv")
    project.run()
    bucket.put_object(Key="raw/1.csv", Body=b"a,y\n1,3\n")
    with pytest.raises(SourceError, match=r"s3://trips/raw/1.csv has changed since the last probe"):
        project.ingest()
    assert project.probe()
    bucket.put_object(Key="raw/2.csv", Body=b"a,y\n4,5\n")
    assert project.ingest().rows == 1
    assert project.probe()
    assert project.ingest().rows == 2


@pytest.mark.parametrize("path", ["s3://trips/none.csv", "s3://trips/none/*.csv", "s3://no-such-bucket/a.csv"])
def test_a_missing_object_is_the_users_to_correct(project: DataProject, bucket: Any, path: str) -> None:
    project.files(path)
    with pytest.raises(SourceError, match=r"(cannot be read|no object matches)"):
        project.probe()


def test_a_store_that_does_not_answer_may_be_tried_again(
    project: DataProject, bucket: Any, monkeypatch: pytest.MonkeyPatch, free_port: Callable[[], int]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    project.files("s3://trips/raw/1.csv")
    with pytest.raises(InfrastructureError, match="cannot be reached"):
        project.probe()
