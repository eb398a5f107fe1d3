"""True labels that arrive later: ``POST /models/{m}/labels``. Knows what a label may be, not what is done with it.

``{"id": "…", "label": …}`` or a list of them; the id is the ``x-request-id`` of the prediction's response.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from components.errors import SchemaError
from components.serving.refusals import RequestRefusedError, shown
from components.serving.reply import Reply
from components.serving.split import LONGEST_ID, key_of
from components.types.product import Signature

Labelled = Callable[[int, Any], bool]
Kept = Callable[[Sequence[tuple[bytes, Any]]], None]


def take_labels(body: bytes, signature: Signature, most: int, labelled: Labelled, keep: Kept | None = None) -> Reply:
    """Hand every label of a request on, or none when one of them is wrong.

    Args:
        body: The request's body.
        signature: Says what a label of this model may be.
        most: How many labels one request may bring.
        labelled: Takes the key of a prediction and its label; returns whether the prediction is known.
        keep: Takes all ids and labels of the request, for later.

    Returns:
        How many labels belonged to a known prediction, and how many did not.

    Raises:
        RequestRefusedError: the body is malformed, or brings too many.
        SchemaError: a label is none that the model could give.
    """
    given = _parsed(body)
    if len(given) > most:
        raise RequestRefusedError(413, f"the request has more than {most} labels; send fewer at once")
    pairs = [_checked(each, signature, place) for place, each in enumerate(given)]
    if keep is not None:
        keep(pairs)
    joined = sum(labelled(key_of(request_id), label) for request_id, label in pairs)
    return Reply(200, orjson.dumps({"joined": joined, "unknown": len(pairs) - joined}))


def _parsed(body: bytes) -> list[Any]:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestRefusedError(400, f"the body is not JSON: {error.msg}") from None
    if type(content) is dict:
        return [content]
    if type(content) is not list:
        raise SchemaError(f'expected {{"id": …, "label": …}} or a list of them, found {shown(content)}')
    return content


def _checked(given: Any, signature: Signature, place: int) -> tuple[bytes, Any]:
    if type(given) is not dict or given.keys() != {"id", "label"}:
        raise SchemaError(f"label {place}: expected an object with `id` and `label` and nothing else")
    name, label = given["id"], given["label"]
    if type(name) is not str or not 0 < len(name) <= LONGEST_ID or not name.isascii():
        raise SchemaError(f"label {place}: `id` is {shown(name)}, expected a response's x-request-id")
    if signature.classes:
        if not any(label == known and type(label) is type(known) for known in signature.classes):
            classes = ", ".join(shown(known) for known in signature.classes[:8])
            raise SchemaError(f"label {place}: {shown(label)} is no class of this model; expected one of {classes}")
    elif type(label) not in (int, float) or not math.isfinite(label):
        raise SchemaError(f"label {place}: {shown(label)} is no number")
    return name.encode(), label
