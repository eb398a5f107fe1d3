"""Versions in a registry that they were carried to: known by the numbers that they had where they came from.

MLflow counts the versions of each registry by itself, while the ledger knows a version by one number everywhere. So
a carried version has its number as a tag, and this class translates. Decides nothing about where a version stands.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.errors import DigestMismatchError, UnknownNameError
from components.registry.package import EXAMPLE_FILE, LINEAGE_FILE, LINEAGE_PATH, NATIVE_PATH
from components.registry.registry import Registry
from components.registry.request import AliasChange, FoundAliases, RegisteredVersion, RegistrationRequest

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

NUMBER_TAG = "towpath.version"


class CarriedRegistry(Registry):
    """The versions that were carried to one MLflow, by their own numbers."""

    def carry(self, request: RegistrationRequest, number: int) -> RegisteredVersion:
        """Register a version under the number that it has elsewhere; carrying it again changes nothing.

        Raises:
            DigestMismatchError: the number is there with another product.
            GateRefusedError: a gate did not pass, or evidence is missing or of something else.
            BadInputError: a file is missing, or of a format that runs code when it is loaded.
            InfrastructureError: MLflow cannot be reached; carrying again is safe.
        """
        model = request.lineage.model
        if (there := self._own_number(model, number)) is not None:
            known = super().version(model, there)
            if known.product_digest != request.product.digest:
                raise DigestMismatchError(
                    f"version {number} of {model} is product {known.product_digest[:12]} in the registry at "
                    f"{self._connection.uri}, not {request.product.digest[:12]}; that registry was filled from another "
                    "one: empty it, or use the one it was filled from"
                )
            return replace(known, version=number)
        made = self.register(request)
        with self._connection.translated(f"numbering version {number} of {model}"):
            self._client.set_model_version_tag(model, str(made.version), NUMBER_TAG, str(number))
        return replace(made, version=number)

    def has(self, model: str, number: int) -> bool:
        """Return whether a version was carried here.

        Raises:
            InfrastructureError: MLflow cannot be reached.
        """
        return self._own_number(model, number) is not None

    def version(self, model: str, version: int) -> RegisteredVersion:
        """Return one version.

        Raises:
            UnknownNameError: it was not carried here.
            InfrastructureError: MLflow cannot be reached.
        """
        return replace(super().version(model, self._number(model, version)), version=version)

    def list_versions(self, model: str) -> tuple[RegisteredVersion, ...]:
        """Return the versions that were carried here.

        Raises:
            InfrastructureError: MLflow cannot be reached.
        """
        found = [each for each in super().list_versions(model) if NUMBER_TAG in each.tags]
        numbered = [replace(each, version=int(each.tags[NUMBER_TAG])) for each in found]
        return tuple(sorted(numbered, key=lambda each: each.version))

    def set_aliases(
        self,
        model: str,
        champion: int | None,
        challenger: int | None,
        rev: int,
        *,
        prefix: str = "",
        ledger_wins: bool = False,
    ) -> AliasChange:
        """Make a model's aliases what the ledger says; see `Registry.set_aliases`.

        Raises:
            UnknownNameError: the model or a version was not carried here.
            InfrastructureError: MLflow cannot be reached; writing again is safe.
        """
        own = [None if number is None else self._number(model, number) for number in (champion, challenger)]
        return super().set_aliases(model, own[0], own[1], rev, prefix=prefix, ledger_wins=ledger_wins)

    def _number_of(self, found: ModelVersion) -> int:
        return int(found.tags.get(NUMBER_TAG, 0))

    def read_aliases(self, model: str, *, prefix: str = "") -> FoundAliases:
        """Return where a model's aliases point; for comparing with the ledger, never as the truth.

        Raises:
            UnknownNameError: there is no such model.
            InfrastructureError: MLflow cannot be reached.
        """
        found = super().read_aliases(model, prefix=prefix)
        champion, challenger = (self._original(model, each) for each in (found.champion, found.challenger))
        return FoundAliases(champion, challenger, found.rev)

    def _download(self, model: str, version: int, path: str, into: Path) -> None:
        super()._download(model, self._number(model, version), path, into)

    def _number(self, model: str, version: int) -> int:
        if (own := self._own_number(model, version)) is None:
            raise UnknownNameError(
                f"version {version} of {model} was not carried to the registry at {self._connection.uri}; "
                "`towpath promote` carries it"
            )
        return own

    def _own_number(self, model: str, version: int) -> int | None:
        with self._connection.translated(f"looking up version {version} of {model}"):
            found = self._search(f"name = '{model}' and tags.`{NUMBER_TAG}` = '{version}'")
        return int(found[0].version) if found else None

    def _original(self, model: str, own: int | None) -> int | None:
        """Return the number that a version of this registry has elsewhere; None for one that was not carried."""
        if own is None:
            return None
        number = super().version(model, own).tags.get(NUMBER_TAG)
        return int(number) if number is not None else None


def fetch_request(registry: Registry, model: str, version: int, run_id: str, into: Path) -> RegistrationRequest:
    """Download all of a version into a folder, and return it as what may be registered elsewhere.

    Args:
        registry: Where it is.
        model: The model.
        version: Its number there.
        run_id: The run of the other MLflow that it will belong to.
        into: A folder of the caller's own.

    Raises:
        UnknownNameError: there is no such version.
        DigestMismatchError: the bytes are not those that were registered.
        InfrastructureError: MLflow or its files cannot be reached.
    """
    product = registry.fetch_product(model, version, into / "product")
    lineage = registry.fetch_lineage(model, version, into / LINEAGE_PATH)
    native = registry.fetch_part(model, version, NATIVE_PATH, into / NATIVE_PATH) if lineage.native_files else None
    example = registry.fetch_part(model, version, EXAMPLE_FILE, into / EXAMPLE_FILE)
    files = {path.name: path for path in (into / LINEAGE_PATH).iterdir() if path.name != LINEAGE_FILE}
    return RegistrationRequest(
        run_id=run_id,
        product=product,
        lineage=lineage,
        files=files,
        native_dir=native,
        input_example=_columns(json.loads(example.read_text(encoding="utf-8"))),
    )


def _columns(example: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return a table by columns; MLflow writes it by rows."""
    return {name: [row[place] for row in example["data"]] for place, name in enumerate(example["columns"])}
