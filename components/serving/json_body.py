"""A JSON body to plain values, strictly. Knows nothing of what is asked.

orjson refuses NaN, infinities, lone surrogates, what is not UTF-8, and nesting that could exhaust the stack. What it
lets pass is checked here: keys given twice, and nesting beyond the limit.
"""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import orjson

from components.serving.refusals import RequestRefusedError

DEEPEST = 32
"""Deepest nesting of brackets. No request of any protocol needs more than seven, so that a body which a protocol
accepts is never too deep; the number is only looked for once a body was refused, to say the real reason."""

_TOO_DEEP = f"the body is nested deeper than {DEEPEST} levels"
_LARGE = 8_192
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")
_LITERAL = re.compile(rb"\b(?:NaN|nan|Infinity|inf)\b")


def parse_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in `body`.

    Raises:
        RequestRefusedError: it is not JSON, or not an object.
    """
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestRefusedError(400, _why_not_json(body, error)) from None
    if type(payload) is not dict:
        raise RequestRefusedError(400, "the body is JSON, but not an object; expected {…}")
    return payload


def require_unique_keys(body: bytes, keys: int) -> None:
    """Check that no object in `body` gives a key twice; JSON parsers keep the last one without a word.

    Args:
        body: JSON that was parsed.
        keys: How many keys the parsed objects have together. Each key costs one colon, so that as many colons
            as keys prove that none was dropped; only otherwise is every object looked at.

    Raises:
        RequestRefusedError: a key is given twice, or nested too deep to be looked for.
    """
    if _colons(body) != keys:
        try:
            json.loads(body, object_pairs_hook=_unique)
        except RecursionError:  # orjson reads a little deeper than this
            raise RequestRefusedError(400, _TOO_DEEP) from None


def is_too_deep(body: bytes) -> bool:
    """Return whether brackets are nested deeper than `DEEPEST`."""
    if body.count(b"[") + body.count(b"{") <= DEEPEST:
        return False
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", body)):
        depth += 1 if bracket in b"[{" else -1
        if depth > DEEPEST:
            return True
    return False


def _colons(body: bytes) -> int:
    if len(body) < _LARGE:
        return body.count(b":")
    return int(np.count_nonzero(np.frombuffer(body, np.uint8) == ord(":")))  # a quarter of the time, for a fixed start


def _unique(pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise RequestRefusedError(400, f"the key `{key[:80]}` is given twice in one object")
        seen.add(key)


def _why_not_json(body: bytes, error: orjson.JSONDecodeError) -> str:
    if not body.strip():
        return "the body is empty; expected a JSON object"
    if is_too_deep(body):
        return _TOO_DEEP
    if _LITERAL.search(body) and _LITERAL.search(_STRING.sub(b"", body)):
        return "the body holds NaN or Infinity, which are no JSON; send null for a missing value"
    return f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
