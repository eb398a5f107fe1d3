"""Tell an address what happened, signed as Standard Webhooks has it. Tries once; trying again is the outbox's.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md: the signature covers the
notice's id, the time of the attempt and the body. The id is the operation's, so that a receiver knows a repetition.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import http.client
import json
import time
from urllib.parse import SplitResult, urlsplit

from components.errors import ConfigError, InfrastructureError
from components.release.publishers.protocol import Publication
from components.release.records import Event
from components.types.record import canonical_json, dump

TYPE = "release.moved"
SECRET_PREFIX = "whsec_"  # noqa: S105 - how a secret begins
_SECRET_BYTES = range(24, 65)
_TIME_LIMIT_S = 10.0
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class Webhook:
    """Send every event to one address; a receiver is to take the same id twice for one notice."""

    def __init__(self, url: str, secret: str, time_limit_s: float = _TIME_LIMIT_S) -> None:
        """Check what is configured; connects to nothing.

        Args:
            url: Where to send: https, or http to this machine.
            secret: What is shared with the receiver: ``whsec_`` and 24 to 64 bytes in base64.
            time_limit_s: How long the receiver may take.

        Raises:
            ConfigError: the address or the secret cannot be one.
        """
        self._url = _checked_url(url)
        self._key = _key(secret)
        self._time_limit_s = time_limit_s

    def publish(self, publication: Publication) -> None:
        """Send the event; return once the receiver has taken it.

        Raises:
            InfrastructureError: it cannot be reached, or did not take it.
        """
        self.send(publication.event.op_id, _body(publication.event))

    def send(self, notice: str, body: bytes) -> None:
        """Send what is no event of a release, signed in the same way.

        Args:
            notice: Its id: the same for the same notice, however often it is sent.
            body: JSON with ``type``, ``timestamp`` and ``data``.

        Raises:
            InfrastructureError: the address cannot be reached, or did not take it.
        """
        headers = {**self._signature(notice, body, int(time.time())), "Content-Type": "application/json"}
        status = self._post(body, headers)
        if not 200 <= status < 300:
            raise InfrastructureError(f"the webhook at {self._place} answered {status}; it is tried again")

    def _post(self, body: bytes, headers: dict[str, str]) -> int:
        connect = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
        target = (self._url.path or "/") + (f"?{self._url.query}" if self._url.query else "")
        connection = connect(self._url.netloc, timeout=self._time_limit_s)
        try:
            connection.request("POST", target, body, headers)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            reason = str(error) or type(error).__name__
            raise InfrastructureError(f"the webhook at {self._place} cannot be reached: {reason}") from error
        finally:
            connection.close()

    def _signature(self, notice: str, body: bytes, at: int) -> dict[str, str]:
        signed = hmac.digest(self._key, b"%s.%d.%s" % (notice.encode(), at, body), hashlib.sha256)
        return {
            "webhook-id": notice,
            "webhook-timestamp": str(at),
            "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
        }

    @property
    def _place(self) -> str:
        """The address without its path and query, which may hold a token."""
        return f"{self._url.scheme}://{self._url.netloc}"


def _body(event: Event) -> bytes:
    """Return what is said of an event: the same bytes however often it is told."""
    placements = {"from_slot": json.loads(event.from_slot), "to_slot": json.loads(event.to_slot)}
    return canonical_json({"type": TYPE, "timestamp": event.time, "data": {**dump(event), **placements}}).encode()


def _checked_url(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ConfigError("the webhook's address is none; expected https://HOST/PATH") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigError("the webhook's address is none; expected https://HOST/PATH")
    if parts.username is not None or parts.password is not None:
        raise ConfigError(f"the webhook's address at {host} has a password in it; sign with `secret` instead")
    if parts.scheme == "http" and host not in _LOOPBACK:
        raise ConfigError(f"the webhook's address at {host} is http, which anybody between can read; use https")
    return parts


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) not in _SECRET_BYTES:
        raise ConfigError(
            f"the webhook's secret is none; expected `{SECRET_PREFIX}` and 24 to 64 bytes in base64: "
            f"`echo {SECRET_PREFIX}$(openssl rand -base64 32)` makes one"
        )
    return key
