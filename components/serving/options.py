"""What a gateway is told: where to listen, what to serve, and its limits. Knows nothing of HTTP."""

from __future__ import annotations

import ipaddress
import math
import os
from dataclasses import dataclass, field
from pathlib import Path

from components.errors import ConfigError

TOKEN_VARIABLE = "TOWPATH_GATEWAY_TOKEN"  # noqa: S105 - the variable's name, not a token
SHORTEST_TOKEN = 16
MOST_WORKERS = 64


@dataclass(frozen=True)
class Limits:
    """What one client may ask of the gateway; beyond it a request is refused, never the process harmed."""

    body_bytes: int = 1_048_576
    """Largest body, JSON, CSV or binary alike; 413 above."""
    time_s: float = 5.0
    """Longest time to send a request (408), and longest time to compute an answer (503)."""
    in_flight: int = 256
    """Most requests being read or computed at once; 429 above."""
    connections: int = 2_048
    """Most open connections; 503 above."""
    header_bytes: int = 16_384
    """Largest request line and headers together; 431 above."""
    rows: int = 10_000
    """Most rows in one request; 413 above (files are for `towpath predict`)."""
    keep_alive_s: float = 65.0
    """How long an idle connection stays open; longer than a load balancer's own 60 s."""


@dataclass(frozen=True)
class GatewayOptions:
    """How to start one gateway."""

    snapshot: Path
    """The router snapshot (JSON), replaced atomically by whoever releases."""
    host: str = "127.0.0.1"
    port: int = 0
    """0 takes a free port; `port_file` says which."""
    port_file: Path | None = None
    """Written once the gateway listens."""
    token: str | None = field(default=None, repr=False)
    """Required on every route but health when set; must be set to listen beyond this machine."""
    limits: Limits = Limits()
    poll_s: float = 0.2
    """How often the snapshot's file is looked at."""
    drain_s: float = 0.5
    """After SIGTERM: how long it answers on while telling every client to go elsewhere."""
    workers: int = 1
    """How many processes answer; they share one port and one judge."""
    state_dir: Path | None = None
    """What the workers share, and what outlives them: counts, alarms. By default ``gateway-PORT`` beside the snapshot,
    with port 0 a temporary folder."""
    user_header: str = "x-user-id"
    """The header that says who asks: a user stays with one version. Without it, each request is a user of its own."""
    log_dir: Path | None = None
    """Where predictions are logged as Parquet; None logs none."""
    log_rate: float = 1.0
    """The share of the requests that is logged."""
    log_file_s: float = 60.0
    """How old a file of the log may become before it is closed and can be read: what a kill -9 can cost of it."""
    log_bytes: int = 1_073_741_824
    """Largest size of the log's files together; the oldest are deleted."""


def token_from_environment() -> str | None:
    """Return the gateway's token, or None when the environment has none."""
    return os.environ.get(TOKEN_VARIABLE) or None


def check_options(options: GatewayOptions) -> None:
    """Check that the gateway may listen where it is told to.

    Raises:
        ConfigError: the host is not this machine's own and there is no token, the token is too short, or the number of
            workers or what is logged makes no sense.
    """
    if options.token is not None and len(options.token) < SHORTEST_TOKEN:
        raise ConfigError(
            f"{TOKEN_VARIABLE} has {len(options.token)} characters, expected at least {SHORTEST_TOKEN}; "
            "make one with `python -c 'import secrets; print(secrets.token_urlsafe(32))'`"
        )
    if options.token is None and not is_loopback(options.host):
        raise ConfigError(
            f"the gateway would listen on {options.host}, which other machines can reach, without a token; "
            f"set {TOKEN_VARIABLE}, or listen on 127.0.0.1"
        )
    if not 1 <= options.workers <= MOST_WORKERS:
        raise ConfigError(f"{options.workers} workers cannot be; expected 1 to {MOST_WORKERS}, say one per processor")
    if not 0 < options.log_rate <= 1:
        raise ConfigError(f"--log-rate is {options.log_rate:g}, expected above 0 and at most 1")
    if not 0 < options.log_file_s < math.inf:
        raise ConfigError(f"--log-file-s is {options.log_file_s:g}, expected a number of seconds above 0")


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
