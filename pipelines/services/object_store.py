"""The stack's S3 stand-in, and buckets saved to a folder and loaded from one. Knows no one who uses them.

It is moto's server: it speaks S3, keeps everything in memory, and lets in whoever asks. On real servers the same
commands speak to S3 itself.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.errors import InfrastructureError
from components.stage.files import file_digest
from pipelines.services.process import Launch, Service
from pipelines.services.stack_state import BUCKETS, StackSettings

OBJECT_STORE = "stack-s3"
REGION = "us-east-1"

Listing = Mapping[str, Mapping[str, str]]
"""Bucket → key → SHA-256 of the object's bytes."""


def object_store_launch() -> Launch:
    """Return how the stand-in starts."""
    command = (sys.executable, "-m", "pipelines.services.object_store", "--host", "127.0.0.1", "--port", "{port}")
    return Launch(OBJECT_STORE, command, 9000, "/moto-api/", "/moto-api/", {}, is_bare=True)


def serve() -> None:
    """Become moto's server, without its log of requests: a signed address that MLflow asks for is a credential."""
    import logging

    from moto.server import main

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    main(sys.argv[1:])


def credentials(settings: StackSettings) -> dict[str, str]:
    """Return the variables by which AWS's clients know who they are."""
    return {
        "AWS_ACCESS_KEY_ID": settings.access_key,
        "AWS_SECRET_ACCESS_KEY": settings.secret_key,
        "AWS_DEFAULT_REGION": REGION,
    }


def make_buckets(settings: StackSettings, service: Service) -> bool:
    """Make the buckets that are missing, and return whether any was.

    Raises:
        InfrastructureError: it does not answer as S3 would.
    """
    with _client(settings, service) as client:
        there = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
        missing = [name for name in BUCKETS if name not in there]
        for name in missing:
            client.create_bucket(Bucket=name)
        return bool(missing)


def save_buckets(settings: StackSettings, service: Service, folder: Path) -> dict[str, dict[str, str]]:
    """Copy every object to `folder`, each distinct content once under its digest, and return what was where.

    Raises:
        InfrastructureError: it does not answer as S3 would.
    """
    with _client(settings, service) as client:
        folder.mkdir(parents=True, exist_ok=True)
        listing: dict[str, dict[str, str]] = {}
        for bucket in BUCKETS:
            listing[bucket] = {}
            for key in _keys(client, bucket):
                part = folder / "part"
                client.download_file(bucket, key, str(part))
                listing[bucket][key] = digest = file_digest(part)
                part.replace(folder / digest)
        return listing


def load_buckets(settings: StackSettings, service: Service, folder: Path, listing: Listing) -> None:
    """Make the buckets what they were when `save_buckets` returned `listing`; every other object is deleted.

    Raises:
        InfrastructureError: it does not answer as S3 would.
    """
    with _client(settings, service) as client:
        make_buckets(settings, service)
        for bucket, objects in listing.items():
            for key in _keys(client, bucket):
                if key not in objects:
                    client.delete_object(Bucket=bucket, Key=key)
            for key, digest in objects.items():
                client.upload_file(str(folder / digest), bucket, key)


def _keys(client: Any, bucket: str) -> Iterator[str]:
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        yield from [entry["Key"] for entry in page.get("Contents", ())]


@contextmanager
def _client(settings: StackSettings, service: Service) -> Iterator[Any]:
    """Give a client whose errors are sentences."""
    import boto3  # type: ignore[import-untyped]
    from boto3.exceptions import Boto3Error  # type: ignore[import-untyped]
    from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

    client = boto3.client(
        "s3",
        endpoint_url=service.url,
        region_name=REGION,
        aws_access_key_id=settings.access_key,
        aws_secret_access_key=settings.secret_key,
    )
    try:
        yield client
    except (Boto3Error, BotoCoreError, ClientError) as error:
        words = " ".join(str(error).split())[:200]
        raise InfrastructureError(f"S3 at {service.url} failed: {words}; `towpath stack status` says more") from error
    finally:
        client.close()


if __name__ == "__main__":
    serve()
