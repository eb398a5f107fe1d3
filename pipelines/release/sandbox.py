"""A gateway of its own that serves one candidate and nothing else: does it load, and answer real rows in time?"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from components.errors import InfrastructureError
from components.release.guards.evidence import SandboxEvidence
from components.stage.files import write_json
from components.types.release import ModelRoute, PlacedModel, RouterSnapshot, TrafficSplit
from pipelines.release.actors import TOKEN_VARIABLE
from pipelines.release.client import Client, Reply
from pipelines.release.environments import GATEWAY_TOKEN_VARIABLE
from pipelines.release.requests import RequestRow, cycled
from pipelines.services.process import Launch, supervised_service

Progress = Callable[[int, int], None]
"""Hears how much is done, and how much there is."""


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox."""

    url: str
    path: str
    """Where the candidate answers."""
    digest: str


@contextlib.contextmanager
def sandbox(placed: PlacedModel, root: Path, ready_s: float) -> Iterator[Sandbox]:
    """Serve one version for the length of the block, on loopback, in a process that dies with this one.

    Raises:
        InfrastructureError: it did not get ready in time; the message names its log.
    """
    ref = placed.ref
    with TemporaryDirectory(prefix="towpath-sandbox-") as folder:
        snapshot = Path(folder) / "gateway" / "router.json"
        split = TrafficSplit(ref.model, rev=1, stable=ref.version)
        write_json(snapshot, RouterSnapshot(1, {ref.model: ModelRoute(split, {str(ref.version): placed})}))
        command = (
            *(sys.executable, "-m", "components.serving", "--snapshot", str(snapshot)),
            *("--host", "127.0.0.1", "--port", "{port}"),
        )
        open_to_us = {GATEWAY_TOKEN_VARIABLE: "", TOKEN_VARIABLE: ""}  # it asks for no token, and is told none
        launch = Launch(
            "sandbox", command, 0, "/v2/health/ready", "/v2", open_to_us, is_bare=True, start_timeout_s=ready_s
        )
        with _running(launch, placed, root) as url:
            yield Sandbox(url, f"/v2/models/{ref.model}/versions/{ref.version}/infer", ref.digest)


def try_out(box: Sandbox, rows: Sequence[RequestRow], requests: int, progress: Progress) -> SandboxEvidence:
    """Ask a sandbox for single rows, one after the other."""
    replies = ask_all(box, cycled(rows, requests), progress)
    return SandboxEvidence(
        product_digest=box.digest,
        requests=len(replies),
        failed=sum(not reply.valid for reply in replies),
        p95_ms=percentile_ms([reply.seconds for reply in replies], 0.95),
    )


def ask_all(box: Sandbox, rows: Sequence[RequestRow], progress: Progress) -> list[Reply]:
    """Return the answers to rows, asked for one after the other on one connection."""
    replies = []
    with Client(box.url) as client:
        for row in rows:
            replies.append(client.infer(box.path, row.body))
            progress(len(replies), len(rows))
    return replies


def percentile_ms(seconds: Sequence[float], share: float) -> float:
    """Return the latency that a share of the requests did not exceed, in milliseconds."""
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1_000


@contextlib.contextmanager
def _running(launch: Launch, placed: PlacedModel, root: Path) -> Iterator[str]:
    ref = placed.ref
    with contextlib.ExitStack() as stack:
        try:
            service = stack.enter_context(supervised_service(launch, root))
        except InfrastructureError as error:
            raise InfrastructureError(
                f"a sandboxed server did not get ready with version {ref.version} of {ref.model}: {error}"
            ) from error
        yield service.url
