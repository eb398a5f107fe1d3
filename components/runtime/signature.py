"""Read and write a product's signature. Knows nothing of the graph it describes."""

from __future__ import annotations

import json
from pathlib import Path

from components.errors import FaultError
from components.stage.files import write_json
from components.types import record
from components.types.product import SIGNATURE_FILE, Signature


def parse_signature(payload: bytes, where: Path) -> Signature:
    """Return the signature that `payload` holds.

    Raises:
        FaultError: it is no signature; the message names `where`.
    """
    try:
        return record.load(Signature, json.loads(payload))
    except ValueError as error:
        raise FaultError(f"{where} is not a signature ({error}); train again to write the product anew") from error


def read_signature(product_dir: Path) -> Signature:
    """Return the signature of the product in `product_dir`.

    Raises:
        FaultError: it is missing, or no signature.
    """
    path = product_dir / SIGNATURE_FILE
    try:
        payload = path.read_bytes()
    except OSError as error:
        raise FaultError(f"{path} cannot be read ({error.strerror}); train again to write the product anew") from error
    return parse_signature(payload, path)


def write_signature(product_dir: Path, signature: Signature) -> None:
    """Write the signature of the product in `product_dir`; the same signature gives the same bytes."""
    write_json(product_dir / SIGNATURE_FILE, signature)
