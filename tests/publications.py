"""Publications, repositories in each layout, and what a server would make of them. Shared by the publishers' tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from tritonclient.grpc import model_config_pb2

from bench.products import sum_product
from components.release.publishers.protocol import Publication
from components.release.publishers.repository import TensorFlowServingRepository, TritonRepository
from components.release.records import NO_HASH, Event
from components.stage.files import tree_digest
from components.types.release import Environment, ModelRef, PlacedModel, TrafficSplit

Repository = TritonRepository | TensorFlowServingRepository
EVENT = Event(
    op_id="op",
    model="taxi",
    env=Environment.PRODUCTION,
    rev=1,
    version=1,
    target="stable",
    from_slot="{}",
    to_slot='{"stable":1}',
    artifact_digest="a" * 64,
    data_digest="d" * 64,
    code_digest="c" * 40,
    lock_digest="l" * 64,
    gate_config_digest="g" * 64,
    evidence_digest="e" * 64,
    actor="ann",
    reason="it is better",
    time="2030-01-02T03:04:05.000006+00:00",
    prev_hash=NO_HASH,
    hash="h" * 64,
)


@dataclass(frozen=True)
class Kind:
    """One layout, with the products that it takes."""

    open: Callable[[Path], Repository]
    placed: Mapping[int, PlacedModel]

    def publication(self, rev: int, model: str = "taxi", **named: int) -> Publication:
        placed = {number: replace(each, ref=replace(each.ref, model=model)) for number, each in self.placed.items()}
        return Publication(EVENT, TrafficSplit(model, rev, **named), placed)


def onnx_versions(folder: Path) -> dict[int, PlacedModel]:
    return {
        number: placed_at(number, sum_product(folder / f"onnx-{number}", offset=float(number)).directory, "onnx")
        for number in (1, 2, 3)
    }


def saved_model_versions(folder: Path) -> dict[int, PlacedModel]:
    """Return folders laid out as a SavedModel's product; what is in the files does not matter to who copies them."""
    found = {}
    for number in (1, 2, 3):
        directory = folder / f"savedmodel-{number}"
        model = directory / "savedmodel"
        (model / "variables").mkdir(parents=True)
        (model / "saved_model.pb").write_bytes(b"graph %d" % number)
        (model / "variables" / "variables.index").write_bytes(b"index")
        (directory / "signature.json").write_text("{}")
        found[number] = placed_at(number, directory, "savedmodel")
    return found


def placed_at(version: int, directory: Path, runtime: str) -> PlacedModel:
    return PlacedModel(ModelRef("taxi", version, tree_digest(directory)), directory, runtime)


KINDS: Mapping[str, Callable[[Path], Kind]] = {
    "triton": lambda folder: Kind(TritonRepository, onnx_versions(folder)),
    "tensorflow_serving": lambda folder: Kind(TensorFlowServingRepository, saved_model_versions(folder)),
}


def _server_config() -> Any:
    """Return the class of ``tensorflow.serving.ModelServerConfig``, with the fields that are written.

    Names, numbers and types are those of tensorflow-serving-api 2.21.0 (model_server_config.proto and
    file_system_storage_path_source.proto), which needs all of TensorFlow to be installed.
    """
    file = descriptor_pb2.FileDescriptorProto(name="model_server_config.proto", package="serving", syntax="proto3")
    string, integer, message, one, many = 9, 3, 11, 1, 3

    def add(name: str, *fields: tuple[str, int, int, int, str]) -> Any:
        made = file.message_type.add(name=name)
        for field, number, label, kind, of in fields:
            made.field.add(
                name=field, number=number, label=label, type=kind, type_name=f".serving.{of}" if of else None
            )
        return made

    add("Specific", ("versions", 1, many, integer, ""))
    add("ServableVersionPolicy", ("specific", 102, one, message, "Specific"))
    config = add(
        "ModelConfig",
        ("name", 1, one, string, ""),
        ("base_path", 2, one, string, ""),
        ("model_platform", 4, one, string, ""),
        ("model_version_policy", 7, one, message, "ServableVersionPolicy"),
        ("version_labels", 8, many, message, "ModelConfig.VersionLabelsEntry"),
    )
    entry = config.nested_type.add(name="VersionLabelsEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, label=one, type=string)
    entry.field.add(name="value", number=2, label=one, type=integer)
    add("ModelConfigList", ("config", 1, many, message, "ModelConfig"))
    add("ModelServerConfig", ("model_config_list", 1, one, message, "ModelConfigList"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("serving.ModelServerConfig"))


SERVER_CONFIG: Any = _server_config()


def triton_config_of(folder: Path) -> Any:
    return text_format.Parse((folder / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())


def served(root: Path) -> dict[str, dict[str, int]]:
    """Return what servers would serve: version and digest folder by model and label; fails where that is not whole."""
    found: dict[str, dict[str, int]] = {}
    if (root / "models.config").exists():
        for each in text_format.Parse((root / "models.config").read_text(), SERVER_CONFIG()).model_config_list.config:
            found[each.name] = dict(each.version_labels)
            assert set(each.model_version_policy.specific.versions) >= set(each.version_labels.values())
            for version in each.model_version_policy.specific.versions:
                assert (Path(each.base_path) / str(version) / "saved_model.pb").read_bytes() == b"graph %d" % version
                assert (Path(each.base_path) / str(version) / "variables" / "variables.index").exists()
    for folder in sorted(root.glob("[!.]*/")):
        if (folder / "config.pbtxt").exists():
            config = triton_config_of(folder)
            assert config.name == folder.name
            (version,) = config.version_policy.specific.versions
            assert tree_digest(folder / str(version)) == config.parameters["towpath_digest"].string_value
            model, _, label = config.name.partition(".")
            found.setdefault(model, {})[label or "stable"] = version
    return found


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
