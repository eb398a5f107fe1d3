"""Where the gateway's own log goes. Knows nothing of what is logged."""

from __future__ import annotations

import logging


def log_to_stderr(name: str = "gateway") -> None:
    """Send the gateway's log to stderr, each line with the name of this process."""
    log = logging.getLogger("towpath.gateway")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(f"%(asctime)s {name} %(levelname)s %(message)s"))
    log.handlers[:] = [handler]
    log.propagate = False
    log.setLevel(logging.INFO)
