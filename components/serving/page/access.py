"""Let a browser show the gateway's token. Knows nothing of what the page shows.

A browser cannot send ``Authorization: Bearer``, and a token in an address ends in histories and logs. So the release
page, and nothing else, also takes HTTP Basic: any user name, the token as the password. A browser sends such a password
again with every request to this server, also one that a foreign page made it send; that is harmless where nothing can
be changed, so Basic is accepted for GET and HEAD of the page only, never for a route that takes a body.
"""

from __future__ import annotations

import base64
import binascii
import hmac

from components.serving.reply import Reply, refusal

CHALLENGE = b'Basic realm="towpath", charset="UTF-8"'


def admits(authorization: bytes, token: str) -> bool:
    """Return whether an ``Authorization`` header carries the token, as Bearer or as the password of HTTP Basic.

    Args:
        authorization: The header's value; empty where there is none.
        token: The gateway's token.
    """
    scheme, _, given = authorization.partition(b" ")
    match scheme.lower():
        case b"bearer":
            return hmac.compare_digest(given.strip(), token.encode())
        case b"basic":
            try:
                decoded = base64.b64decode(given.strip(), validate=True)
            except binascii.Error:
                return False
            return hmac.compare_digest(decoded.partition(b":")[2], token.encode())
        case _:
            return False


def challenge() -> Reply:
    """Return the refusal that makes a browser ask for the token."""
    sentence = "a token is required: any user name, and the gateway's token as the password (or send it as Bearer)"
    return refusal(401, sentence, (b"www-authenticate", CHALLENGE))
