"""Whether a cluster can ever give what is asked of it. Pure: takes what the cluster says of its nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.errors import ConfigError


@dataclass(frozen=True)
class Request:
    """What one piece of work needs on one node, for as long as it goes on."""

    cpus: float
    gpus: float = 0.0
    memory_bytes: int = 0
    """Counted against what Ray sets aside for work on a node; 0 asks for none."""

    def amounts(self) -> dict[str, float]:
        """Return the amounts by Ray's names."""
        return {"CPU": self.cpus, "GPU": self.gpus, "memory": float(self.memory_bytes)}


def require_capacity(request: Request, nodes: Sequence[Mapping[str, Any]], what: str, key: str) -> None:
    """Check that some living node is large enough, so that nothing waits for ever.

    Args:
        request: What is asked.
        nodes: What `ray.nodes` says.
        what: What asks, for the message.
        key: The configuration's key that says how much is asked.

    Raises:
        ConfigError: no node is large enough.
    """
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    asked = {name: amount for name, amount in request.amounts().items() if amount > 0}
    if any(all(node.get(name, 0.0) >= amount for name, amount in asked.items()) for node in alive):
        return
    words = _words(asked)
    there = "; ".join(sorted({_words({name: node.get(name, 0.0) for name in asked}) for node in alive})) or "none"
    raise ConfigError(
        f"{what} asks for {words} on one node, and no node of the cluster can ever give that (nodes have: {there}); "
        f"lower `{key}`, or add a larger node"
    )


def _words(amounts: Mapping[str, float]) -> str:
    names = {"CPU": "CPUs", "GPU": "GPUs", "memory": "bytes of memory"}
    return ", ".join(
        f"{amount:,.0f} {names[name]}" if amount >= 1 else f"{amount:g} {names[name]}"
        for name, amount in amounts.items()
    )
