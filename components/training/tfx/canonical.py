"""Give equal models equal bytes: what TensorFlow numbers or names by chance in a SavedModel is named by its order.

TensorFlow counts the functions of a process, puts the path of a vocabulary into the name of its table, and gives every
SavedModel a random id; a product's digest must depend on the model alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tensorflow.core.protobuf import fingerprint_pb2, saved_model_pb2
from tensorflow.python.saved_model.pywrap_saved_model import fingerprinting

GRAPH_FILE = "saved_model.pb"
FINGERPRINT_FILE = "fingerprint.pb"

_FUNCTION = re.compile(r"(.*?)_(\d+)")
_TABLE = re.compile(r"hash_table_.*", re.DOTALL)
_CAPTURE = "_user_specified_name"
_NUMBERS = re.compile(r"\d+")


def make_canonical(folder: Path) -> None:
    """Rewrite the graph and the fingerprint of a SavedModel; what it computes stays the same."""
    path = folder / GRAPH_FILE
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    for graph in saved.meta_graphs:
        names = _function_names(graph) | _table_names(graph)
        _walk(graph, lambda text, names=names: names.get(text, text))  # type: ignore[misc]
        _forget_captures(graph)
        functions = sorted(graph.graph_def.library.function, key=lambda each: str(each.signature.name))
        del graph.graph_def.library.function[:]
        graph.graph_def.library.function.extend(functions)
    path.write_bytes(saved.SerializeToString(deterministic=True))
    _write_fingerprint(folder)


def _forget_captures(graph: Any) -> None:
    """Remove the numbers, counted by the process, that a function's captured tensors have for debugging alone."""
    for function in graph.graph_def.library.function:
        for argument in function.arg_attr.values():
            if argument.attr[_CAPTURE].s.isdigit() or not argument.attr[_CAPTURE].s:
                del argument.attr[_CAPTURE]


def _function_names(graph: Any) -> dict[str, str]:
    """Return a new name for each function, numbered in the order in which they were made."""
    found = []
    for function in graph.graph_def.library.function:
        if match := _FUNCTION.fullmatch(function.signature.name):
            found.append((int(match[2]), match[1], function.signature.name))
    return {name: f"{base}_{rank}" for rank, (_, base, name) in enumerate(sorted(found))}


def _table_names(graph: Any) -> dict[str, str]:
    """Return a new name for each table, numbered in the order in which they were made."""
    found: set[str] = set()
    for function in graph.graph_def.library.function:
        for node in function.node_def:
            name = node.attr["shared_name"].s.decode() if "shared_name" in node.attr else ""
            if _TABLE.fullmatch(name):
                found.add(name)
    ordered = sorted(found, key=lambda name: (int(_NUMBERS.findall(name)[-1]), name))
    return {name: f"table_{rank}" for rank, name in enumerate(ordered)}


def _walk(message: Any, rename: Callable[[str], str]) -> None:
    """Rename every text in a message that is a name as a whole."""
    for field, value in list(message.ListFields()):
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            _walk_map(value, field, rename)
        elif field.type == field.TYPE_MESSAGE:
            for each in value if field.label == field.LABEL_REPEATED else [value]:
                _walk(each, rename)
        elif field.type in (field.TYPE_STRING, field.TYPE_BYTES):
            _rename_field(message, field, value, rename)


def _walk_map(entries: Any, field: Any, rename: Callable[[str], str]) -> None:
    key, value = field.message_type.fields_by_name["key"], field.message_type.fields_by_name["value"]
    if value.type == value.TYPE_MESSAGE:
        for name in entries:
            _walk(entries[name], rename)
    if key.type != key.TYPE_STRING or all(rename(name) == name for name in entries):
        return
    kept = {name: entries[name] for name in entries}
    if value.type == value.TYPE_MESSAGE:
        kept = {name: type(each).FromString(each.SerializeToString()) for name, each in kept.items()}
    entries.clear()
    for name, each in kept.items():
        if value.type == value.TYPE_MESSAGE:
            entries[rename(name)].CopyFrom(each)
        else:
            entries[rename(name)] = each


def _rename_field(message: Any, field: Any, value: Any, rename: Callable[[str], str]) -> None:
    def renamed(each: Any) -> Any:
        if isinstance(each, str):
            return rename(each)
        try:
            return rename(each.decode()).encode()
        except UnicodeDecodeError:  # a constant's bytes
            return each

    if field.label == field.LABEL_REPEATED:
        value[:] = [renamed(each) for each in value]
    else:
        setattr(message, field.name, renamed(value))


def _write_fingerprint(folder: Path) -> None:
    fresh = fingerprint_pb2.FingerprintDef.FromString(fingerprinting.CreateFingerprintDef(str(folder)))
    lasting = {field.name: value for field, value in fresh.ListFields() if field.name != "uuid"}
    (folder / FINGERPRINT_FILE).write_bytes(
        fingerprint_pb2.FingerprintDef(**lasting).SerializeToString(deterministic=True)
    )
