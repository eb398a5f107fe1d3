"""Back the stack up into one folder, and restore it: ledger, MLflow, Prefect, artifacts and the DVC remote.

A backup is whole or it is not there: its manifest names every file with its digest, and is checked before anything is
touched. The ledger is dumped first and the objects are copied last, so that whatever a database names was there before
it was named: bytes are pushed before a version exists, and a version exists before the ledger moves it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from components.errors import BadInputError, ConflictError, FaultError, InfrastructureError, UnknownNameError
from components.release.ledger import Ledger
from components.release.records import Head
from components.stage.files import file_digest, record_digest, whole_directory, write_json
from components.types import record
from pipelines.services import stack
from pipelines.services.object_store import OBJECT_STORE, Listing, load_buckets, save_buckets
from pipelines.services.postgresql import POSTGRESQL, database_url, dump_database, restore_database
from pipelines.services.process import Service
from pipelines.services.stack_state import DATABASES, StackSettings, read_settings

MANIFEST = "manifest.json"
_FORMAT = 1
_OBJECTS = "objects"
_ATTEMPTS = 3
Say = Callable[[str], None]


@dataclass(frozen=True)
class Manifest:
    """What a backup holds."""

    format: int
    made_at: str
    heads: tuple[Head, ...]
    """Of every chain in the ledger."""
    files: Mapping[str, str]
    """Path in the backup → SHA-256."""
    objects: Listing
    digest: str = ""
    """Of everything above: a manifest that was changed is no manifest."""


def back_up(folder: Path, say: Say, root: Path = Path(), *, dry_run: bool = False) -> Manifest | None:
    """Write a backup of the running stack; None for a dry run, which checks that one could be made.

    Raises:
        UnknownNameError: the stack is not up.
        ConflictError: the folder exists already.
        InfrastructureError: a server could not be read; no folder is left.
        FaultError: the ledger does not verify; a backup of it would spread the damage.
    """
    settings, database, objects = _servers(root)
    if folder.exists():
        raise ConflictError(f"{folder} exists already; name a folder that does not, so that no backup is overwritten")
    _heads(settings, database)
    if dry_run:
        return None
    with whole_directory(folder) as part:
        say("dumping the databases: ledger, MLflow, Prefect")
        heads = _dump_ledger(settings, database, _dump(part, "ledger"))
        for name in DATABASES[1:]:
            dump_database(settings, database, name, _dump(part, name))
        say("copying MLflow's artifacts and the DVC remote")
        listing = save_buckets(settings, objects, part / _OBJECTS)
        files = {str(path.relative_to(part)): file_digest(path) for path in sorted(part.rglob("*")) if path.is_file()}
        manifest = _sealed(Manifest(_FORMAT, datetime.now(UTC).isoformat(), heads, files, listing))
        write_json(part / MANIFEST, manifest)
    return manifest


def read_backup(folder: Path) -> Manifest:
    """Return a backup's manifest after every byte of it was checked.

    Raises:
        BadInputError: the folder is no backup, or not whole: a file is missing, changed, or not listed.
    """
    if not (folder / MANIFEST).is_file():
        raise BadInputError(f"{folder} is not a backup: there is no {MANIFEST}; name what `towpath backup` wrote")
    try:
        manifest = record.read(Manifest, folder / MANIFEST)
    except (OSError, ValueError) as error:
        raise BadInputError(f"{folder} is not a backup: its {MANIFEST} cannot be read ({error})") from error
    if manifest.format != _FORMAT or manifest != _sealed(manifest):
        raise BadInputError(f"{folder / MANIFEST} is not as it was written; take another backup")
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()} - {MANIFEST}
    if wrong := sorted(found ^ set(manifest.files)):
        if wrong[0] in found:
            raise BadInputError(f"{folder} is not whole: it has a file `{wrong[0]}` that its {MANIFEST} does not list")
        raise BadInputError(f"{folder} is not whole: {wrong[0]} is missing; take another backup")
    for name, digest in manifest.files.items():
        if (folder / name).is_symlink() or file_digest(folder / name) != digest:
            raise BadInputError(f"{folder} is not whole: {name} is not the file that was written; take another backup")
    return manifest


def restore(folder: Path, say: Say, root: Path = Path(), *, dry_run: bool = False) -> Manifest:
    """Put a backup in the place of what the running stack holds, and check that its ledger says what it said then.

    Raises:
        BadInputError: the folder is no backup, or not whole; nothing was touched.
        UnknownNameError: the stack is not up.
        InfrastructureError: a server failed; the same command begins again.
        FaultError: the restored ledger has other heads than the backup's.
    """
    manifest = read_backup(folder)
    settings, database, objects = _servers(root)
    if dry_run:
        return manifest
    say(f"{folder} takes the place of everything that the stack holds; its ledger, runs and objects are replaced")
    say("stopping what uses the databases: MLflow, Prefect and its worker")
    stack.stop_clients(root)
    for name in DATABASES:
        say(f"restoring the database {name}")
        restore_database(settings, database, name, _dump(folder, name))
    say("restoring MLflow's artifacts and the DVC remote")
    load_buckets(settings, objects, folder / _OBJECTS, manifest.objects)
    say("starting them again")
    stack.start_stack((), root)
    if (found := _heads(settings, database)) != manifest.heads:
        raise FaultError(
            f"the restored ledger has the heads {_words(found)} where the backup had {_words(manifest.heads)}; "
            "restore another backup"
        )
    return manifest


def describe(manifest: Manifest) -> str:
    """Return what a backup holds, as one sentence."""
    objects = ", ".join(f"{len(keys)} objects of {bucket}" for bucket, keys in sorted(manifest.objects.items()))
    return (
        f"made at {manifest.made_at[:19]} UTC: {len(DATABASES)} databases, {objects}; ledger: {_words(manifest.heads)}"
    )


def _servers(root: Path) -> tuple[StackSettings, Service, Service]:
    settings, services = read_settings(root), stack.running(root)
    if settings is None or POSTGRESQL not in services or OBJECT_STORE not in services:
        raise UnknownNameError("the stack is not up, and it is what is backed up and restored; `towpath stack up`")
    return settings, services[POSTGRESQL], services[OBJECT_STORE]


def _dump_ledger(settings: StackSettings, database: Service, target: Path) -> tuple[Head, ...]:
    """Dump the ledger, and return the heads that the dump holds: those that stood before it and after it."""
    for _ in range(_ATTEMPTS):
        before = _heads(settings, database)
        dump_database(settings, database, "ledger", target)
        if _heads(settings, database) == before:
            return before
    raise InfrastructureError("the ledger moved during every dump of it; back up when fewer rollouts are going on")


def _heads(settings: StackSettings, database: Service) -> tuple[Head, ...]:
    ledger = Ledger(database_url(settings, database, "ledger"))
    checked = [ledger.verify(model, env) for model, env in sorted(ledger.chains())]
    if broken := [each for each in checked if not each.intact]:
        raise FaultError(
            f"the ledger of {broken[0].head.model} in {broken[0].head.env.value} does not verify: "
            f"{broken[0].findings[0]}; `towpath ledger verify` says more"
        )
    return tuple(each.head for each in checked)


def _sealed(manifest: Manifest) -> Manifest:
    return replace(manifest, digest=record_digest(replace(manifest, digest="")))


def _dump(folder: Path, name: str) -> Path:
    return folder / f"{name}.dump"


def _words(heads: tuple[Head, ...]) -> str:
    return ", ".join(f"{each.model} {each.env.value} rev {each.rev} {each.hash[:12]}" for each in heads) or "none"
