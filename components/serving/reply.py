"""What goes back over the wire: a status, headers and a body. Knows nothing of why."""

from __future__ import annotations

from typing import NamedTuple

import orjson

Headers = list[tuple[bytes, bytes]]

JSON = b"application/json"
OCTETS = b"application/octet-stream"
TEXT = b"text/plain; charset=utf-8"
_LONGEST = 1_000


class Reply(NamedTuple):
    """One HTTP response."""

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


def refusal(status: int, sentence: str, *headers: tuple[bytes, bytes]) -> Reply:
    """Return an error: a JSON object with one sentence, on one line whatever it quotes."""
    if not sentence.isprintable():
        sentence = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in sentence)
    return Reply(status, orjson.dumps({"error": sentence[:_LONGEST]}), JSON, headers)
