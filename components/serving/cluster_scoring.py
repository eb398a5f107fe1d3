"""Predict batches on a Ray cluster, in their order, by a product whose digest is checked on every node.

Knows no HTTP, and no part of the gateway's process imports it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from components.cluster.capacity import Request
from components.cluster.node import Node
from components.cluster.pool import OrderedPool
from components.cluster.session import Session, joined
from components.serving.predict import Scorer
from components.stage.product_files import require_product_files
from components.types.product import ProductRef

PRODUCTS = "products"
MOST_PROCESSES = 32
"""How many processes predict at once: one reads and writes for all of them, and holds a batch of each in memory."""


class NodeScorer(Node):
    """Predicts on a node; an actor's body, which imports no Ray."""

    def load(self, digest: str, runtime: str, source: str) -> None:
        """Load the product that was sent.

        Raises:
            DigestMismatchError: its bytes are not those that were promised.
        """
        self._scorer = Scorer(ProductRef(self._kept(PRODUCTS, digest), digest, runtime), Path(source))

    def work(self, batch: Any, rows_before: int) -> Any:
        """Return what `Scorer.score` says of a batch; both are Arrow's stream format.

        Raises:
            SchemaError: a column is missing, or a value is not of its column's type; the row is named.
        """
        with pa.ipc.open_stream(batch) as reader:
            return _packed(self._scorer.score(reader.read_next_batch(), rows_before))


class ClusterScoring:
    """A `components.serving.predict.Scoring` on the Ray cluster at ``RAY_ADDRESS``."""

    def __init__(self, product: ProductRef, source: Path, request: Request, key: str) -> None:
        """Prepare to predict.

        Args:
            product: What predicts.
            source: Where the rows come from, for messages.
            request: What each process asks of a node.
            key: The configuration's key that says so, for messages.
        """
        self._product, self._source, self._request, self._key = product, source, request, key

    def __call__(self, batches: Iterator[tuple[Any, int]]) -> Iterator[Any]:
        """Give the predictions, batch by batch, in order.

        Raises:
            BadInputError: the cluster's address is missing, a node has other versions, or none is large enough.
            InfrastructureError: the cluster cannot be reached, process after process was lost, or every node that is
                large enough.
            TowpathError: what `Scorer.score` raises.
        """
        require_product_files(self._product.directory, self._product.runtime)
        with joined() as session:
            session.require_capacity(self._request, "prediction", self._key)
            size = max(1, min(MOST_PROCESSES, int(session.cpus() / max(self._request.cpus, 1.0))))
            pool = OrderedPool(session, NodeScorer, self._request, size, self._set_up, "prediction", self._key)
            for packed in pool.results((_packed(batch), rows_before) for batch, rows_before in batches):
                with pa.ipc.open_stream(packed) as reader:
                    yield reader.read_all()

    def _set_up(self, session: Session, actor: Any) -> Any:
        session.require_same_environment(actor)
        product = self._product
        session.send(actor, PRODUCTS, product.directory, product.digest, lambda _: True)
        return actor.load.remote(product.digest, product.runtime, str(self._source))


def _packed(rows: Any) -> Any:
    """Return a batch or table in Arrow's stream format: a slice travels alone, without what it was cut from."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write(rows)
    return sink.getvalue()
