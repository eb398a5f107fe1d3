"""Where an ingested dataset stands, and what it says of itself. Reads no table."""

from __future__ import annotations

from pathlib import Path

from components.errors import SourceError
from components.types.dataset import MANIFEST_FILE, DatasetManifest
from components.types.record import read


def dataset_dir(model: str, root: Path = Path()) -> Path:
    """Return the folder of a model's ingested dataset."""
    return root / "data" / model / "dataset"


def read_manifest(model: str, root: Path = Path()) -> DatasetManifest:
    """Return the manifest of a model's ingested dataset.

    Raises:
        SourceError: nothing was ingested, or the manifest cannot be read.
    """
    path = dataset_dir(model, root) / MANIFEST_FILE
    try:
        return read(DatasetManifest, path)
    except FileNotFoundError:
        raise SourceError(f"{path} is missing: nothing was ingested; run `dvc repro ingest@{model}`") from None
    except (ValueError, OSError) as error:
        raise SourceError(f"{path} cannot be used ({error}); run `dvc repro --force ingest@{model}`") from error
