"""The files of a source as they are now: which there are, and what tells each from another version of itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from components.data.config import GLOB_SIGNS, FilesSource
from components.data.snapshot import FileEntry, Snapshot
from components.errors import InfrastructureError, MissingExtraError, SourceError, TowpathError
from components.stage.files import file_digest

_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs"}
_CLIENT_ERROR, _SERVER_ERROR = 400, 500


def probe_files(source: FilesSource, root: Path) -> Snapshot:
    """Return the files that match the source's path, in the order of their names.

    Raises:
        SourceError: there is none, or one cannot be read.
        MissingExtraError: the store's library is not installed.
        InfrastructureError: a server does not answer.
    """
    entries = matching_entries(source, root)
    if not entries:
        raise nothing_matches(source, root)
    return Snapshot(kind="files", origin=source.path, files=tuple(entries))


def matching_entries(source: FilesSource, root: Path) -> list[FileEntry]:
    """Return the files that match the source's path now, in the order of their names; there may be none.

    Raises:
        SourceError: one cannot be read, or says no format.
        MissingExtraError: the store's library is not installed.
        InfrastructureError: a server does not answer.
    """
    entries = _remote_entries(source.path) if source.is_remote else _local_entries(source.path, root)
    for entry in entries:
        if source.format_of(entry.path) is None:
            raise SourceError(
                f"{entry.path}: the ending says no format; end it in .csv, .parquet or .jsonl, or set `source.format`"
            )
    return entries


def nothing_matches(source: FilesSource, root: Path) -> SourceError:
    """Return the error of a path at which there is nothing."""
    if source.is_remote:
        return SourceError(f"no object matches {source.path}; correct `source.path` or bring the data")
    return SourceError(
        f"no file matches {source.path} (looked in {root.resolve()}); correct `source.path` or bring the data"
    )


def remote_entry(path: str) -> FileEntry:
    """Return what tells a remote file from another version: its ETag, or its digest where the server gives none.

    Raises:
        SourceError: it is not there, or may not be read.
        MissingExtraError: the store's library is not installed.
        InfrastructureError: the server does not answer.
    """
    with remote(path) as (store, key):
        info = store.info(key)
        if etag := info.get("ETag") or info.get("etag"):
            return FileEntry(path, info.get("size"), etag=str(etag).strip('"'))
    with TemporaryDirectory() as folder:
        download(path, copy := Path(folder) / "copy")
        return FileEntry(path, copy.stat().st_size, sha256=file_digest(copy))


def download(path: str, target: Path) -> None:
    """Copy a remote file, without holding it in memory.

    Raises:
        SourceError: it is not there, or may not be read.
        InfrastructureError: the server does not answer.
    """
    with remote(path) as (store, key):
        store.get_file(key, str(target))


@contextmanager
def remote(path: str) -> Iterator[tuple[Any, str]]:
    """Give the file system of an address, and the address in its terms; what libraries raise becomes one sentence."""
    import fsspec

    protocol = path.partition("://")[0]
    try:
        store, key = fsspec.core.url_to_fs(path, use_listings_cache=False, skip_instance_cache=True)
        yield store, key
    except TowpathError:
        raise
    except ImportError as error:
        extra = _EXTRAS.get(protocol)
        lacking = f"{path} needs a library that is not installed"
        if extra is None:
            raise MissingExtraError(f"{lacking}; it said: {error}") from error
        raise MissingExtraError.of(lacking, extra) from error
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        # over http, fsspec says "not found" of whatever went wrong
        if isinstance(error.__cause__, OSError) or _status(error.__cause__) >= _SERVER_ERROR:
            raise InfrastructureError(f"{path} cannot be reached: {_words(error)}; try again later") from error
        raise SourceError(f"{path} cannot be read: {_words(error)}; check the address and the credentials") from error
    except ValueError as error:
        raise SourceError(
            f"{path} is no address that can be read: {_words(error)}; use http(s)://, s3:// or gs://"
        ) from error
    except Exception as error:  # each store raises errors of its own client library
        if _CLIENT_ERROR <= _status(error) < _SERVER_ERROR or "Credentials" in type(error).__name__:
            raise SourceError(
                f"{path} may not be read: {_words(error)}; credentials come from the environment"
            ) from error
        raise InfrastructureError(f"{path} cannot be reached: {_words(error)}; try again later") from error


def _local_entries(path: str, root: Path) -> list[FileEntry]:
    if (root / path).is_dir():
        raise SourceError(f"{path} is a folder; name its files, as in `{path.rstrip('/')}/*.csv`")
    files = [path] if (root / path).is_file() else sorted(_matches(path, root))
    try:
        return [FileEntry(each, (root / each).stat().st_size, sha256=file_digest(root / each)) for each in files]
    except OSError as error:
        raise SourceError(f"{error.filename} cannot be read: {error.strerror}") from error


def _matches(pattern: str, root: Path) -> Iterator[str]:
    """Give the files that match, relative to the project as the pattern is, or absolute; none that is hidden."""
    base = Path(Path(pattern).anchor) if Path(pattern).is_absolute() else root
    for match in base.glob(str(Path(pattern).relative_to(Path(pattern).anchor))):
        if match.is_file() and not match.name.startswith("."):
            yield (match if base != root else match.relative_to(root)).as_posix()


def _remote_entries(path: str) -> list[FileEntry]:
    if path.startswith(("http://", "https://")) or not any(sign in path for sign in GLOB_SIGNS):
        return [remote_entry(path)]
    with remote(path) as (store, key):
        keys = sorted(store.glob(key))
        addresses = [store.unstrip_protocol(each) for each in keys if not each.endswith("/")]
    return [remote_entry(address) for address in addresses]


def _status(error: BaseException | None) -> int:
    """Return the HTTP status in an error of aiohttp's, or 0."""
    status = getattr(error, "status", 0)
    return status if isinstance(status, int) else 0


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
