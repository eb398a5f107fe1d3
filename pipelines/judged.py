"""What was judged last, kept beside the ledger so that an unchanged candidate is not judged again. Judges nothing.

The ledger holds the gates' digest of the event that moved a version; a version that stands already and passes changed
gates moves nothing, so that it was judged by them is remembered here. Without the record it is judged again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from components.stage.files import write_json
from components.types import record
from pipelines.state import STATE

FOLDER = STATE / "judged"


@dataclass(frozen=True)
class Judged:
    """A product that passed the gates."""

    product_digest: str
    dataset_digest: str
    gate_config_digest: str


def remember(model: str, judged: Judged, root: Path) -> None:
    """Keep what passed."""
    write_json(root / FOLDER / f"{model}.json", judged)


def was_judged(model: str, judged: Judged, root: Path) -> bool:
    """Return whether this product on this data was what passed these gates last."""
    try:
        return record.read(Judged, root / FOLDER / f"{model}.json") == judged
    except (OSError, ValueError):
        return False
