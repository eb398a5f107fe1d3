"""Read the lineage of a training from its ML Metadata store. Knows nothing of what the artifacts hold.

Times, and paths of the machine it ran on, are left out: two runs of the same code on the same data say the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2

from components.types.tfx import Lineage, LineageArtifact, LineageExecution
from components.types.training import Scalar

_INPUTS = (metadata_store_pb2.Event.INPUT, metadata_store_pb2.Event.DECLARED_INPUT)
_OUTPUTS = (metadata_store_pb2.Event.OUTPUT, metadata_store_pb2.Event.DECLARED_OUTPUT)
_TIMED = ("time", "run_id", "fingerprint", "checksum")
"""Parts of the names of properties that differ from run to run."""


def read_lineage(metadata: Path) -> Lineage:
    """Return the artifacts and executions of a SQLite store, in the order in which they were made.

    Raises:
        OSError: there is no such file.
    """
    if not metadata.is_file():
        raise FileNotFoundError(f"{metadata} is missing")
    connection = metadata_store_pb2.ConnectionConfig()
    connection.sqlite.filename_uri = str(metadata)
    connection.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READONLY
    store = MetadataStore(connection)
    artifacts = sorted(store.get_artifacts(), key=lambda each: each.id)
    executions = sorted(store.get_executions(), key=lambda each: each.id)
    events = store.get_events_by_execution_ids([each.id for each in executions]) if executions else []
    artifact_types = {each.id: each.name for each in store.get_artifact_types()}
    execution_types = {each.id: each.name for each in store.get_execution_types()}
    return Lineage(
        artifacts=tuple(_artifact(each, artifact_types[each.type_id]) for each in artifacts),
        executions=tuple(_execution(each, execution_types[each.type_id], events) for each in executions),
    )


def _artifact(found: Any, kind: str) -> LineageArtifact:
    properties = {**_plain(found.properties), **_plain(found.custom_properties)}
    return LineageArtifact(found.id, kind, str(properties.pop("name", "")), properties)


def _execution(found: Any, kind: str, events: list[Any]) -> LineageExecution:
    properties = _plain(found.properties) | _plain(found.custom_properties)
    own = [each for each in events if each.execution_id == found.id]
    return LineageExecution(
        id=found.id,
        type=kind,
        name=str(properties.get("component_id") or kind.rpartition(".")[2]),
        state=metadata_store_pb2.Execution.State.Name(found.last_known_state),
        inputs=tuple(sorted(each.artifact_id for each in own if each.type in _INPUTS)),
        outputs=tuple(sorted(each.artifact_id for each in own if each.type in _OUTPUTS)),
    )


def _plain(properties: Mapping[str, Any]) -> dict[str, Scalar]:
    """Return the properties that say the same on every machine."""
    found: dict[str, Scalar] = {}
    for name, value in sorted(properties.items()):
        kind = value.WhichOneof("value")
        if kind not in ("int_value", "double_value", "string_value") or any(part in name for part in _TIMED):
            continue
        content = getattr(value, kind)
        if isinstance(content, str) and ("/" in content or not content):
            continue
        found[name] = content
    return found
