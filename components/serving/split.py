"""Who gets the canary: a sticky share of the users. Knows nothing of models in memory and of requests' bodies.

A user's place in a rollout is a hash of who asks, salted with the model and the canary's version: so it stays the same
as long as the canary does, a growing weight only adds users, and two models or two canaries draw independently.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b

USER_HEADER = b"x-user-id"
"""Says who asks, unless the options name another; without it every request is a user of its own."""
REQUEST_ID_HEADER = b"x-request-id"
LONGEST_ID = 128

_BITS = 64
_EVERY_PLACE = 1 << _BITS


def key_of(text: bytes) -> int:
    """Return the 64-bit key under which a user or a request is counted; nobody can read the text out of it."""
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "little")


def user_key(headers: Mapping[bytes, bytes], request_id: bytes, name: bytes = USER_HEADER) -> int:
    """Return the key of who asks: of the header `name`, or of the request's own id where nobody says."""
    return key_of(headers.get(name) or request_id)


def takes_canary(user: int, model: str, canary_version: int, weight: int) -> bool:
    """Return whether a user belongs to the first `weight` percent for this canary."""
    if weight <= 0:
        return False
    place = blake2b(user.to_bytes(8, "little"), digest_size=8, key=_salt(model, canary_version)).digest()
    return int.from_bytes(place, "little") * 100 < weight * _EVERY_PLACE


@lru_cache(maxsize=256)
def _salt(model: str, canary_version: int) -> bytes:
    return blake2b(f"{model}\n{canary_version}".encode(), digest_size=16).digest()
