"""How a request is refused: a status and one sentence. Knows nothing of what is asked."""

from __future__ import annotations

from components.errors import BadInputError


class RequestRefusedError(BadInputError):
    """Carry the HTTP status that goes with the sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def shown(value: object, length: int = 40) -> str:
    """Return a value as a sentence can quote it: short, on one line, in JSON's words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, dict):
        return "an object"
    text = repr(value)
    return text if len(text) <= length else f"{text[:length]}…"
