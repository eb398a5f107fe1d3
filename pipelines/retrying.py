"""How Prefect tries a task again. Knows no flow."""

from __future__ import annotations

from typing import Any

from prefect.cache_policies import NO_CACHE

from components.errors import InfrastructureError


def is_infrastructure(_task: Any, _run: Any, state: Any) -> bool:
    """Say whether a failed task may be tried again: only a server or a disk that failed is worth it."""
    return isinstance(state.data, InfrastructureError)


TASK_OPTIONS: dict[str, Any] = {
    "retries": 2,
    "retry_delay_seconds": [2, 10],
    "retry_condition_fn": is_infrastructure,
    "cache_policy": NO_CACHE,
    "persist_result": False,
}
"""What every task has: a few tries more, and no cache, which is DVC's."""
