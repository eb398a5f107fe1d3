"""Write the network of a Lightning checkpoint as an ONNX graph. Knows nothing of training, and imports no Lightning."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

from components.training.core.architecture import build
from components.training.core.network_graph import FEATURES, write_network
from components.types.training import TrainingTask

NETWORK_PREFIX = "network_prefix"
"""The checkpoint's key that says what the names of the network's own weights begin with."""

_OPSET = 18


def export(task: TrainingTask, native: tuple[Path, ...], network: Path) -> None:
    """Build the architecture anew, give it the checkpoint's weights, and write it as an ONNX graph."""
    import torch

    checkpoint = torch.load(native[0], map_location="cpu", weights_only=True)
    prefix = checkpoint[NETWORK_PREFIX]
    module = build(task)
    module.load_state_dict({name.removeprefix(prefix): value for name, value in checkpoint["state_dict"].items()})
    program = _program(torch, module.eval(), task.spec.n_features)
    write_network(program.model_proto, task.spec, network)


def _program(torch: Any, module: Any, n_features: int) -> Any:
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it names packages that are not installed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch warns of its own deprecated calls
        return torch.onnx.export(
            module,
            (torch.zeros(2, n_features),),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("rows")},),
            input_names=[FEATURES],
            opset_version=_OPSET,
            verbose=False,
        )
