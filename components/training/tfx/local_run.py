"""Run the components of a pipeline one after another in this process. Knows no component by name.

It is TFX's `LocalDagRunner` as an iterator: whoever runs it hears of each component, and may stop between two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfx.dsl.compiler import compiler, constants
from tfx.orchestration import metadata
from tfx.orchestration.local import runner_utils
from tfx.orchestration.pipeline import Pipeline
from tfx.orchestration.portable import launcher, runtime_parameter_utils

from components.errors import TrainingError


@dataclass(frozen=True)
class Finished:
    """A component that is done."""

    component: str
    outputs: dict[str, Path]
    """The folder of each output, by its key."""


def run_components(
    pipeline: Pipeline, run_id: str, starts: Callable[[str, int, int], None], fails: Callable[[str, Exception], None]
) -> Iterator[Finished]:
    """Run a pipeline, and give each component when it is done.

    Args:
        pipeline: What to run.
        run_id: The name of the run in ML Metadata.
        starts: Told each component before it starts, with its number (from 1) and how many there are.
        fails: Told the component that raised, and what; it raises what is to be said of it.

    Raises:
        TrainingError: TFX skipped a component, because it did not find what the component reads.
    """
    compiled = compiler.Compiler().compile(pipeline)
    runtime_parameter_utils.substitute_runtime_parameter(compiled, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: run_id})
    deployment = runner_utils.extract_local_deployment_config(compiled)
    nodes = [node.pipeline_node for node in compiled.nodes]
    for number, node in enumerate(nodes, start=1):
        component = node.node_info.id
        starts(component, number, len(nodes))
        try:
            finished = _launch(compiled, deployment, node)
        except Exception as error:
            fails(component, error)
            raise
        if finished is None or not finished.output_dict:
            raise TrainingError(f"component {component} was skipped: TFX did not find what it reads")
        yield Finished(component, {key: Path(each[0].uri) for key, each in finished.output_dict.items() if each})


def _launch(compiled: Any, deployment: Any, node: Any) -> Any:
    connection = deployment.metadata_connection_config
    name = node.node_info.id
    return launcher.Launcher(
        pipeline_node=node,
        mlmd_connection=metadata.Metadata(getattr(connection, connection.WhichOneof("connection_config"))),
        pipeline_info=compiled.pipeline_info,
        pipeline_runtime_spec=compiled.runtime_spec,
        executor_spec=runner_utils.extract_executor_spec(deployment, name),
        custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, name),
    ).launch()
