"""Who may ask, what, and how many at once: refusals that need no body. Knows nothing of models."""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from components.serving.model_table import Action, Route
from components.serving.options import Limits
from components.serving.reply import Reply, refusal

_GET, _POST = ("GET", "HEAD"), ("POST",)


class Admission:
    """Refuse requests that need not be read to be refused."""

    def __init__(self, limits: Limits, token: str | None) -> None:
        """Take the limits, and the token that every route but health asks for, if there is one."""
        self._in_flight = limits.in_flight
        self._token = token
        self._bearer = b"" if token is None else f"Bearer {token}".encode()

    def refused(self, route: Route | None, method: str, headers: Mapping[bytes, bytes], in_flight: int) -> Reply | None:
        """Return the refusal of a request, or None where it may go on."""
        if self._token is not None and (route is None or not route.is_open):
            given = headers.get(b"authorization", b"")
            if not hmac.compare_digest(given, self._bearer) and (reply := self._unknown(route, method, given)):
                return reply
        if route is None:
            return None
        allowed = _POST if route.takes_body else _GET
        if method not in allowed:
            return refusal(405, f"{method} is not possible here; use {allowed[0]}", (b"allow", allowed[0].encode()))
        if route.takes_body and in_flight >= self._in_flight:
            sentence = f"{self._in_flight} requests are being answered, as many as may be; try again"
            return refusal(429, sentence, (b"retry-after", b"1"))
        return None

    def _unknown(self, route: Route | None, method: str, given: bytes) -> Reply | None:
        """Return the refusal of somebody without the token; a browser may bring it to the page in its own way."""
        if route is not None and route.action is Action.PAGE and method in _GET:
            from components.serving import page

            assert self._token is not None
            return None if page.admits(given, self._token) else page.challenge()
        sentence = "a token is required: send `Authorization: Bearer …`"
        return refusal(401, sentence, (b"www-authenticate", b"Bearer"))
