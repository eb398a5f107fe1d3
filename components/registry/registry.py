"""Versions of models in MLflow's registry. Decides nothing about where a version stands."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Protocol

from components.errors import InfrastructureError, UnknownNameError
from components.registry.package import LINEAGE_FILE, LINEAGE_PATH, PRODUCT_PATH, build_package, require_complete
from components.registry.request import AliasChange, FoundAliases, Lineage, RegisteredVersion, RegistrationRequest
from components.stage.files import record_digest, require_digest
from components.types import record
from components.types.product import ProductRef

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion

KEY_TAG = "towpath.key"
PRODUCT_TAG = "towpath.product_digest"
DATASET_TAG = "towpath.dataset_digest"
RUNTIME_TAG = "towpath.runtime"
REV_TAG = "release.rev"
CHAMPION = "champion"
CHALLENGER = "challenger"


class MlflowConnection(Protocol):
    """What the registry needs of a connection; `components.tracking.connection.Connection` is one."""

    uri: str
    client: MlflowClient

    def translated(self, what: str) -> AbstractContextManager[None]:
        """Turn MLflow's errors into sentences."""


class Registry:
    """The versions in one MLflow; may be used from several threads."""

    def __init__(self, connection: MlflowConnection) -> None:
        """Keep the connection."""
        self._connection = connection
        self._client = connection.client

    @property
    def uri(self) -> str:
        """MLflow's address; a secret where it carries a password."""
        return self._connection.uri

    def register(self, request: RegistrationRequest) -> RegisteredVersion:
        """Register a product with its lineage; the same model, product and data again give the same version.

        The bytes are pushed before the version exists. Where several callers, or one that retried, made the same
        version at once, the lowest number is kept.

        Raises:
            GateRefusedError: a gate did not pass, or evidence is missing or of something else.
            DigestMismatchError: the product's bytes are not those that were judged.
            BadInputError: a file is missing, or of a format that runs code when it is loaded.
            InfrastructureError: MLflow cannot be reached; registering again is safe.
        """
        require_complete(request)
        model = request.lineage.model
        key = version_key(model, request.product.digest, request.lineage.dataset_digest)
        with self._connection.translated(f"registering {model}"):
            if (known := self._kept(model, key)) is not None:
                return _to_version(known)
            self._ensure_model(model)
            pushed = self._push(request)
            mine = self._client.create_model_version(
                model,
                pushed.artifact_location,  # not models:/<id>, which MLflow looks up in whatever address is its default
                run_id=request.run_id,
                tags=_tags(request, key),
                model_id=pushed.model_id,
                await_creation_for=0,
            )
            kept = self._kept(model, key)
        if kept is None:
            raise InfrastructureError(f"version {mine.version} of {model} vanished while it was registered; try again")
        return _to_version(kept, created=kept.version == mine.version)

    def list_versions(self, model: str) -> tuple[RegisteredVersion, ...]:
        """Return a model's versions, oldest first; none where the model is not known.

        Raises:
            InfrastructureError: MLflow cannot be reached.
        """
        with self._connection.translated(f"listing the versions of {model}"):
            found = self._search(f"name = '{model}'")
        first_of_key: dict[str, ModelVersion] = {}
        for each in found:
            if KEY_TAG in each.tags:
                first_of_key.setdefault(each.tags[KEY_TAG], each)
        return tuple(_to_version(each) for each in first_of_key.values())

    def version(self, model: str, version: int) -> RegisteredVersion:
        """Return one version.

        Raises:
            UnknownNameError: there is no such version, or Towpath did not register it.
            InfrastructureError: MLflow cannot be reached.
        """
        with self._connection.translated(f"looking up version {version} of {model}"):
            found = self._client.get_model_version(model, str(version))
        if KEY_TAG not in found.tags:
            raise UnknownNameError(
                f"version {version} of {model} was not registered by Towpath and has no lineage; "
                "register the model with `towpath register`"
            )
        return _to_version(found)

    def fetch_product(self, model: str, version: int, into: Path) -> ProductRef:
        """Download a version's product into a folder that must not exist yet, and check its bytes.

        Raises:
            UnknownNameError: there is no such version.
            DigestMismatchError: the bytes are not those that were registered.
            InfrastructureError: MLflow or its files cannot be reached.
        """
        known = self.version(model, version)
        self._download(model, version, PRODUCT_PATH, into)
        try:
            require_digest(into, known.product_digest)
        except BaseException:
            shutil.rmtree(into, ignore_errors=True)
            raise
        return ProductRef(into, known.product_digest, known.runtime)

    def fetch_lineage(self, model: str, version: int, into: Path) -> Lineage:
        """Download a version's lineage with its files (``dvc.lock``, ``uncommitted.patch``, …) into a new folder.

        Raises:
            UnknownNameError: there is no such version.
            InfrastructureError: MLflow or its files cannot be reached.
        """
        self.version(model, version)
        self._download(model, version, LINEAGE_PATH, into)
        return record.read(Lineage, into / LINEAGE_FILE)

    def fetch_part(self, model: str, version: int, path: str, into: Path) -> Path:
        """Download a file or a folder of a version to a path that must not exist yet, and return it.

        Raises:
            UnknownNameError: there is no such version.
            InfrastructureError: MLflow or its files cannot be reached.
        """
        self.version(model, version)
        self._download(model, version, path, into)
        return into

    def read_lineage(self, model: str, version: int) -> Lineage:
        """Return what a version came from.

        Raises:
            UnknownNameError: there is no such version.
            InfrastructureError: MLflow or its files cannot be reached.
        """
        with TemporaryDirectory(prefix="towpath-lineage-") as folder:
            return self.fetch_lineage(model, version, Path(folder) / "lineage")

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
        """Make a model's aliases what the ledger says; a writer with an older revision is turned away.

        Several environments in one registry keep their aliases apart by `prefix` (``production-champion``). With
        `ledger_wins` a newer revision is overwritten, too: for a caller who knows that the ledger has no newer one.

        MLflow has no compare-and-swap, so two writers can still cross: whoever writes the ledger's latest revision
        again repairs it, and nobody may read an alias as the truth.

        Raises:
            UnknownNameError: the model or a version does not exist.
            InfrastructureError: MLflow cannot be reached; writing again is safe.
        """
        with self._connection.translated(f"writing the aliases of {model}"):
            there = self._client.get_registered_model(model)
            written = int(there.tags.get(prefix + REV_TAG, 0))
            if written > rev and not ledger_wins:
                return AliasChange((), written, stale=True)
            wanted = {prefix + CHAMPION: champion, prefix + CHALLENGER: challenger}
            found = {alias: int(number) for alias, number in there.aliases.items()}
            changed = tuple(alias for alias, number in wanted.items() if found.get(alias) != number)
            for alias in changed:
                self._set_alias(model, alias, wanted[alias])
            if written != rev:
                self._client.set_registered_model_tag(model, prefix + REV_TAG, str(rev))
        return AliasChange(changed, rev, stale=False)

    def set_standings(self, model: str, env: str, standings: Mapping[int, str]) -> tuple[int, ...]:
        """Tag every version with where it stands in an environment, and return those whose tag was another.

        The tag ``towpath.<env>`` is for people who look at MLflow; a version that stands nowhere has none.

        Raises:
            UnknownNameError: the model does not exist.
            InfrastructureError: MLflow cannot be reached; writing again is safe.
        """
        tag = f"towpath.{env}"
        changed = []
        with self._connection.translated(f"tagging the versions of {model}"):
            for each in self._search(f"name = '{model}'"):
                wanted = standings.get(self._number_of(each))
                if each.tags.get(tag) == wanted:
                    continue
                changed.append(self._number_of(each))
                if wanted is None:
                    self._client.delete_model_version_tag(model, str(each.version), tag)
                else:
                    self._client.set_model_version_tag(model, str(each.version), tag, wanted)
        return tuple(changed)

    def _number_of(self, found: ModelVersion) -> int:
        """Return the number by which the ledger knows a version of this registry."""
        return int(found.version)

    def read_aliases(self, model: str, *, prefix: str = "") -> FoundAliases:
        """Return where a model's aliases point; for comparing with the ledger, never as the truth.

        Raises:
            UnknownNameError: there is no such model.
            InfrastructureError: MLflow cannot be reached.
        """
        with self._connection.translated(f"reading the aliases of {model}"):
            there = self._client.get_registered_model(model)
        found = {alias: int(number) for alias, number in there.aliases.items()}
        rev = int(there.tags.get(prefix + REV_TAG, 0))
        return FoundAliases(found.get(prefix + CHAMPION), found.get(prefix + CHALLENGER), rev)

    def _set_alias(self, model: str, alias: str, version: int | None) -> None:
        if version is None:
            self._client.delete_registered_model_alias(model, alias)
        else:
            self._client.set_registered_model_alias(model, alias, str(version))

    def _ensure_model(self, model: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(model)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _push(self, request: RegistrationRequest) -> LoggedModel:
        """Store the version's bytes."""
        lineage = request.lineage
        experiment = self._client.get_run(request.run_id).info.experiment_id
        logged = self._client.create_logged_model(
            experiment,
            name=lineage.model,
            source_run_id=request.run_id,
            tags={PRODUCT_TAG: lineage.product_digest},
            model_type=lineage.framework.split()[0],
        )
        with TemporaryDirectory(prefix="towpath-register-") as temporary:
            folder = Path(temporary) / "model"
            build_package(request, folder, request.run_id, logged.model_id)
            self._client.log_model_artifacts(logged.model_id, str(folder))
        return self._client.finalize_logged_model(logged.model_id, "READY")

    def _kept(self, model: str, key: str) -> ModelVersion | None:
        """Return the one version with this key, deleting those that a race or a retry made beside it."""
        from mlflow.exceptions import MlflowException

        found = self._search(f"name = '{model}' and tags.`{KEY_TAG}` = '{key}'")
        for duplicate in found[1:]:
            try:
                self._client.delete_model_version(model, str(duplicate.version))
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":  # else somebody else deleted it meanwhile
                    raise
        return found[0] if found else None

    def _search(self, query: str) -> list[ModelVersion]:
        found: list[ModelVersion] = []
        token: str | None = None
        while True:
            page = self._client.search_model_versions(query, max_results=1000, page_token=token)
            found += page
            token = page.token
            if not token:
                return sorted(found, key=lambda each: int(each.version))

    def _download(self, model: str, version: int, path: str, into: Path) -> None:
        from mlflow.artifacts import download_artifacts

        uri = self._connection.uri
        with TemporaryDirectory(prefix=".fetch-", dir=_made(into.parent)) as temporary:
            with self._connection.translated(f"fetching version {version} of {model}"):
                source = f"{self._client.get_model_version_download_uri(model, str(version))}/{path}"
                fetched = download_artifacts(source, dst_path=temporary, tracking_uri=uri, registry_uri=uri)
            Path(fetched).replace(into)


def version_key(model: str, product_digest: str, dataset_digest: str) -> str:
    """Return what makes two registrations the same version."""
    return record_digest([model, product_digest, dataset_digest])


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _tags(request: RegistrationRequest, key: str) -> dict[str, str]:
    lineage = request.lineage
    passed = sum(verdict.passed for verdict in lineage.gates)
    tags = {
        KEY_TAG: key,
        PRODUCT_TAG: lineage.product_digest,
        DATASET_TAG: lineage.dataset_digest,
        RUNTIME_TAG: lineage.runtime,
        "towpath.training": lineage.training,
        "towpath.kind": lineage.kind,
        "towpath.framework": lineage.framework,
        "towpath.git_commit": lineage.git_commit,
        "towpath.tree": "clean" if lineage.clean else f"dirty+{lineage.patch_digest}",
        "towpath.dvc_lock_digest": lineage.dvc_lock_digest,
        "towpath.suite": f"passed {lineage.suite_digest}",
        "towpath.gates": f"{passed} of {len(lineage.gates)} passed",
        "towpath.author": lineage.author,
    }
    locks = {f"towpath.lock.{name}": digest for name, digest in lineage.lock_digests.items()}
    flow = {"prefect.flow_run_id": lineage.flow_run_id} if lineage.flow_run_id else {}
    return {**tags, **locks, **flow}


def _to_version(found: ModelVersion, *, created: bool = False) -> RegisteredVersion:
    tags: Mapping[str, str] = dict(found.tags)
    return RegisteredVersion(
        model=found.name,
        version=int(found.version),
        product_digest=tags[PRODUCT_TAG],
        dataset_digest=tags[DATASET_TAG],
        runtime=tags[RUNTIME_TAG],
        run_id=found.run_id or "",
        tags=tags,
        created=created,
    )
