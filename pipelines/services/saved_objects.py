"""What the S3 stand-in holds, kept in the stack's folder while it is down; real S3 needs none of this."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from components.stage.files import write_json
from pipelines.services.object_store import load_buckets, save_buckets
from pipelines.services.process import Service
from pipelines.services.stack_state import STACK, StackSettings

_FOLDER, _LISTING = "objects", "objects.json"


def save(settings: StackSettings, objects: Service, root: Path) -> None:
    """Keep what the stand-in holds.

    Raises:
        InfrastructureError: it does not answer.
    """
    write_json(root / STACK / _LISTING, save_buckets(settings, objects, root / STACK / _FOLDER))


def load(settings: StackSettings, objects: Service, root: Path) -> bool:
    """Give the stand-in back what was kept, and return whether anything was; the copy is deleted.

    Raises:
        InfrastructureError: it does not answer.
    """
    listing = root / STACK / _LISTING
    if not listing.is_file():
        return False
    load_buckets(settings, objects, root / STACK / _FOLDER, json.loads(listing.read_text(encoding="utf-8")))
    listing.unlink()
    shutil.rmtree(root / STACK / _FOLDER)
    return True
