"""Model repositories that servers poll: NVIDIA Triton's and TensorFlow Serving's. Starts no server and asks none.

A publication is brought in steps, each of which may be the last before a death, and all of which may be repeated:
fence, new versions (each appears whole), configuration (replaced whole), and only then the removal of old versions.
What servers see is at every moment the old state or the new one, and names only versions that are there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from components.errors import ConfigError, ConflictError, FaultError, InfrastructureError
from components.release import routes
from components.release.publishers import tensorflow_serving_config, triton_config
from components.release.publishers.fence import Fences
from components.release.publishers.protocol import Publication
from components.release.publishers.whole_folders import appear, clear, copy_checked, holds, vanish
from components.stage.files import require_digest, tree_digest, write_text
from components.types import record
from components.types.product import SAVED_MODEL_DIR, SIGNATURE_FILE, Signature
from components.types.release import PlacedModel, Role, TrafficSplit

Placed = Mapping[int, PlacedModel]

_TRITON_CONFIG = "config.pbtxt"
_ROLES = (Role.STABLE, Role.CANARY)


class _Repository(ABC):
    """What is the same in every layout: the steps, and their order."""

    def __init__(self, root: Path) -> None:
        """Remember the folder; it is made by the first publication."""
        self.root = root
        self._fences = Fences(root)

    def publish(self, publication: Publication) -> None:
        """Bring the repository to what the publication says; the same again changes nothing.

        Raises:
            BadInputError: the split cannot be one.
            StaleRevisionError: a newer revision was published, or this one with another split.
            ConflictError: the stable version or the canary is not among those that were placed.
            ConfigError: servers of this kind cannot serve such a product.
            DigestMismatchError: the bytes are not those that were promised; nothing of them was published.
            FaultError: a product has no signature, or a fence is damaged.
            InfrastructureError: the disk failed, or another publisher is at work.
        """
        split = publication.split
        routes.check_split(split)
        placed = _checked(split, publication.placed)
        for each in placed.values():
            self._check_servable(each)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with self._fences.alone():
                fence = self._fences.begin(split)
                clear(self.root)
                self._bring(split, placed)
                fence = self._fences.advance(fence, ready=split)
                self._show(split)
                self._tidy(split)
                self._fences.advance(fence, done=split.rev)
        except OSError as error:
            raise InfrastructureError(f"{self.root} cannot be written: {error.strerror or error}") from error

    def published(self, model: str) -> int:
        """Return the newest revision of a model that is all there; 0 before the first.

        Raises:
            FaultError: the fence is damaged.
            InfrastructureError: the disk failed.
        """
        try:
            return self._fences.read(model).done
        except OSError as error:
            raise InfrastructureError(f"{self.root} cannot be read: {error.strerror}") from error

    @abstractmethod
    def _check_servable(self, placed: PlacedModel) -> None:
        """Raise `ConfigError` for a product that these servers can never serve."""

    @abstractmethod
    def _bring(self, split: TrafficSplit, placed: Placed) -> None:
        """Make the split's versions appear, unseen as yet."""

    @abstractmethod
    def _show(self, split: TrafficSplit) -> None:
        """Make the configuration name them, and nothing else."""

    @abstractmethod
    def _tidy(self, split: TrafficSplit) -> None:
        """Remove what is not named any more."""


class TritonRepository(_Repository):
    """``<root>/<model>`` has the stable version alone, and ``<root>/<model>.canary`` the canary while there is one.

    They are two models to Triton, because it answers a request that names no version with the highest number: in one
    model every such client would get the canary.
    """

    def _check_servable(self, placed: PlacedModel) -> None:
        if placed.runtime != "onnx":
            raise ConfigError(
                f"version {placed.ref.version} of {placed.ref.model} is a product for {placed.runtime}, and the Triton "
                f"repository {self.root} takes ONNX: Triton has come without a backend for TensorFlow since its "
                "release 25.03; publish to TensorFlow Serving (`kind: tensorflow_serving`), or take the publisher out "
                "of the environment's file"
            )

    def _bring(self, split: TrafficSplit, placed: Placed) -> None:
        for name, version in _triton_models(split):
            folder = self.root / name
            if version is None:
                continue
            if not (folder / _TRITON_CONFIG).is_file():
                appear(self.root, folder, partial(_fill_model, name, placed[version]))
            else:
                _bring_version(self.root, folder, placed[version])

    def _show(self, split: TrafficSplit) -> None:
        for name, version in _triton_models(split):
            folder = self.root / name
            if version is None:
                vanish(self.root, folder)
            else:
                _replace_text(folder / _TRITON_CONFIG, _triton_text(name, folder / str(version)))

    def _tidy(self, split: TrafficSplit) -> None:
        for name, version in _triton_models(split):
            _remove_others(self.root, self.root / name, {version})


class TensorFlowServingRepository(_Repository):
    """``<root>/<model>/<version>`` has a SavedModel, and ``<root>/models.config`` says which are served, by label.

    Clients ask for the label ``stable``; start the server with ``--model_config_file=<root>/models.config
    --model_config_file_poll_wait_seconds=15 --force_allow_any_version_labels_for_unavailable_models``: without the last
    one the server never takes up a version that became stable without having been the canary.
    """

    def __init__(self, root: Path, base_path: str | None = None) -> None:
        """Remember the folder.

        Args:
            root: The folder; made by the first publication.
            base_path: The same folder as the server sees it, where that is another path (a container's mount).
        """
        super().__init__(root)
        self._base_path = base_path or str(root.absolute())

    def _check_servable(self, placed: PlacedModel) -> None:
        if placed.runtime != "savedmodel":
            raise ConfigError(
                f"version {placed.ref.version} of {placed.ref.model} is a product for {placed.runtime}, and TensorFlow "
                "Serving takes nothing but a SavedModel; publish it to a Triton repository (`kind: triton`), or take "
                "the publisher out of the environment's file"
            )

    def _bring(self, split: TrafficSplit, placed: Placed) -> None:
        for each in placed.values():
            _bring_version(self.root, self.root / split.model, each, SAVED_MODEL_DIR)

    def _show(self, split: TrafficSplit) -> None:
        others = [fence.ready for name, fence in self._fences.all().items() if name != split.model]
        shown = [
            (each, [int(path.name) for path in (self.root / each.model).glob("[0-9]*")])
            for each in sorted([split, *others], key=lambda each: each.model)
        ]
        _replace_text(self.root / "models.config", tensorflow_serving_config.config_text(self._base_path, shown))

    def _tidy(self, split: TrafficSplit) -> None:
        _remove_others(self.root, self.root / split.model, {split.stable, split.canary, split.previous})


def _checked(split: TrafficSplit, placed: Placed) -> dict[int, PlacedModel]:
    """Return the stable version and the canary, their bytes checked now."""
    found: dict[int, PlacedModel] = {}
    for version in filter(None, map(split.version, _ROLES)):
        each = placed.get(version)
        if each is None or (each.ref.model, each.ref.version) != (split.model, version):
            raise ConflictError(f"version {version} of {split.model} was not placed on this machine; place it first")
        require_digest(each.directory, each.ref.digest)
        found[version] = each
    return found


def _bring_version(root: Path, folder: Path, placed: PlacedModel, part: str = "") -> None:
    """Make a version appear: all of its product, or what is in one folder of it."""
    source, digest = placed.directory / part, placed.ref.digest
    if part:
        digest = tree_digest(source)
        require_digest(placed.directory, placed.ref.digest)  # so that the part's digest is of the promised bytes, too
    target = folder / str(placed.ref.version)
    if not holds(target, digest):
        folder.mkdir(exist_ok=True)
        appear(root, target, lambda new: copy_checked(source, new, digest))


def _remove_others(root: Path, folder: Path, kept: set[int | None]) -> None:
    for path in sorted(folder.glob("[0-9]*")):
        if path.name not in {str(version) for version in kept}:
            vanish(root, path)


def _replace_text(path: Path, text: str) -> None:
    """Replace a file unless it has this text already: servers take a new date for a change."""
    try:
        unchanged = path.read_text(encoding="utf-8") == text
    except (FileNotFoundError, ValueError):
        unchanged = False
    if not unchanged:
        write_text(path, text)


def _triton_models(split: TrafficSplit) -> Iterator[tuple[str, int | None]]:
    yield split.model, split.stable
    yield f"{split.model}.canary", split.canary  # no model of Towpath's has a dot in its name


def _fill_model(name: str, placed: PlacedModel, folder: Path) -> None:
    product = folder / str(placed.ref.version)
    product.mkdir()
    copy_checked(placed.directory, product, placed.ref.digest)
    (folder / _TRITON_CONFIG).write_text(_triton_text(name, product), encoding="utf-8")


def _triton_text(name: str, product: Path) -> str:
    try:
        signature = record.read(Signature, product / SIGNATURE_FILE)
    except (OSError, ValueError) as error:
        raise FaultError(
            f"version {product.name} of {name} has no readable signature ({error}); train it again"
        ) from error
    return triton_config.config_text(name, int(product.name), tree_digest(product), signature)
