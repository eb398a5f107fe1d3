"""What a protocol is to the gateway: a function from a request's bytes to rows, and to how they are answered.

Knows none of them; `model_table` says which path speaks which.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from components.serving.input_plan import Batch
from components.serving.reply import Reply
from components.serving.served_model import ServedModel

Answer = Callable[[ServedModel, Mapping[str, np.ndarray]], Reply]
"""Writes what a version computed as the response to the request that it was made for."""

Protocol = Callable[[bytes, Mapping[bytes, bytes], ServedModel, int], tuple[Batch, Answer]]
"""Understands a body and its headers as a request to a version, of at most so many rows.

Raises `RequestRefusedError` where the body is malformed or too long, and `SchemaError` where its values are not what
the version takes.
"""
