"""Who acts on this machine. Proves nothing: where it matters, an environment has tokens."""

from __future__ import annotations

import getpass
import os


def actor() -> str:
    """Return who acts: ``TOWPATH_ACTOR``, else the user of this machine."""
    try:
        return os.environ.get("TOWPATH_ACTOR") or getpass.getuser()
    except (KeyError, OSError):  # a container's user without an entry in passwd
        return f"uid {os.getuid()}"
