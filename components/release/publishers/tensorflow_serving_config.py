"""Where versions stand as the configuration of TensorFlow Serving. Pure; knows no folder.

Text of the `tensorflow.serving.ModelServerConfig` message (https://github.com/tensorflow/serving,
model_server_config.proto). A client that names no version gets the one with the highest number, so clients are to ask
for the label ``stable``. The server moves a label only to a version that it has loaded, so the previous version stays
loaded without a label: a rollback is then one label.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from components.release.publishers.proto_text import quoted
from components.types.release import TrafficSplit

LABELS = ("stable", "canary")


def config_text(base_path: str, shown: Iterable[tuple[TrafficSplit, Collection[int]]]) -> str:
    """Return the configuration under which each model's stable version and canary are served, by label.

    Args:
        base_path: The folder of the models' folders, as the server sees it.
        shown: Each model's split, and the versions that stand in its folder.
    """
    models = "".join(_model(base_path, split, there) for split, there in shown if _labels(split))
    return f"model_config_list {{\n{models}}}\n"


def _model(base_path: str, split: TrafficSplit, there: Collection[int]) -> str:
    labels = _labels(split)
    served = {*labels.values(), *({split.previous} & set(there))}
    versions = " ".join(f"versions: {version}" for version in sorted(filter(None, served)))
    lines = [
        f"name: {quoted(split.model)}",
        f"base_path: {quoted(f'{base_path}/{split.model}')}",
        'model_platform: "tensorflow"',
        f"model_version_policy {{ specific {{ {versions} }} }}",
        *(f"version_labels {{ key: {quoted(label)} value: {version} }}" for label, version in labels.items()),
    ]
    inner = "".join(f"    {line}\n" for line in lines)
    return f"  config {{\n{inner}  }}\n"


def _labels(split: TrafficSplit) -> dict[str, int]:
    named = {label: getattr(split, label) for label in LABELS}
    return {label: version for label, version in named.items() if version is not None}
