"""A version's folder, put together on disk before anything is sent: a model from code, lineage, native files."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from components.errors import BadInputError, FaultError, GateRefusedError, MissingExtraError
from components.registry.request import RegistrationRequest
from components.stage.files import require_digest, write_json
from components.stage.product_files import require_product_files
from components.types import record
from components.types.product import SIGNATURE_FILE, Signature

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

PRODUCT_PATH = "artifacts/product"
LINEAGE_PATH = "lineage"
LINEAGE_FILE = "lineage.json"
NATIVE_PATH = "native"
PATCH_FILE = "uncommitted.patch"
EXAMPLE_FILE = "input_example.json"
"""As MLflow names it."""

_PYFUNC = Path(__file__).with_name("product_pyfunc.py")
_REQUIREMENTS = ("mlflow", "numpy", "pandas")
_RUNTIMES: Mapping[str, tuple[str, ...]] = {"onnx": ("onnxruntime",), "savedmodel": ("tensorflow-cpu", "tensorflow")}
"""The distributions of which one opens a product; the first that is installed is asked for."""
_WARNINGS = (".*AnyType", "Operation with range is deprecated")
"""What MLflow 3.17 says of its own classes at import, and pandas 3 of how MLflow writes an example."""
_PICKLES = {".pkl", ".pickle", ".joblib", ".cloudpickle", ".dill"}
_OUTPUT_TYPES: Mapping[type, str] = {bool: "boolean", int: "long", str: "string"}


def require_complete(request: RegistrationRequest) -> None:
    """Refuse what may not become a version.

    Raises:
        DigestMismatchError: the product's bytes are not those that were judged.
        GateRefusedError: a gate did not pass, or evidence is missing or of something else.
        BadInputError: a file is missing, or of a format that runs code when it is loaded.
    """
    lineage, product = request.lineage, request.product
    require_digest(product.directory, product.digest)
    missing = [name for name in _REQUIRED_TEXTS if not getattr(lineage, name)]
    missing += [] if lineage.lock_digests and all(lineage.lock_digests.values()) else ["lock_digests"]
    if missing:
        raise GateRefusedError(f"{lineage.model} cannot be registered: its lineage lacks {', '.join(missing)}")
    if lineage.runtime != product.runtime:
        raise GateRefusedError(
            f"{lineage.model} cannot be registered: the lineage is of a product for {lineage.runtime}, the bytes are "
            f"one for {product.runtime}"
        )
    if lineage.product_digest != product.digest:
        raise GateRefusedError(
            f"{lineage.model} cannot be registered: the lineage is of product {lineage.product_digest[:12]}, "
            f"the bytes are {product.digest[:12]}"
        )
    _require_passed(request)
    _require_files(request)


_REQUIRED_TEXTS = ("model", "training", "dataset_digest", "git_commit", "dvc_lock_digest", "suite_digest", "framework")


def _require_passed(request: RegistrationRequest) -> None:
    lineage = request.lineage
    if not lineage.suite_passed:
        raise GateRefusedError(f"{lineage.model} cannot be registered: its data did not meet their suite")
    if not lineage.gates:
        raise GateRefusedError(f"{lineage.model} cannot be registered: no gate judged it")
    if failed := [verdict.gate for verdict in lineage.gates if not verdict.passed]:
        raise GateRefusedError(f"{lineage.model} cannot be registered: it did not pass {', '.join(failed)}")


def _require_files(request: RegistrationRequest) -> None:
    lineage, product = request.lineage, request.product
    try:
        require_product_files(product.directory, product.runtime)
    except FaultError as error:
        raise BadInputError(f"{lineage.model} cannot be registered: {error}") from error
    digests = {"dvc.lock": lineage.dvc_lock_digest, "verdict.json": lineage.suite_digest}
    if lineage.patch_digest:
        digests[PATCH_FILE] = lineage.patch_digest
    for name, digest in digests.items():
        path = request.files.get(name)
        if path is None or not path.is_file():
            raise BadInputError(f"{lineage.model} cannot be registered: {name} is missing from what is to be stored")
        require_digest(path, digest)
    native = request.native_dir.rglob("*") if request.native_dir else ()
    if pickles := sorted(path.name for path in native if path.suffix in _PICKLES):
        raise BadInputError(f"{pickles[0]} is a pickle, which runs code when it is loaded; store another format")


def build_package(request: RegistrationRequest, folder: Path, run_id: str, model_id: str) -> None:
    """Write the version's folder.

    Args:
        request: What is registered; complete.
        folder: Where to write; must not exist.
        run_id: The run that MLflow shows it under.
        model_id: MLflow's name for the model inside that run.

    Raises:
        DigestMismatchError: the product's bytes changed while they were copied.
        MissingExtraError: what opens the product is not installed here.
    """
    for message in _WARNINGS:
        warnings.filterwarnings("ignore", message=message)
    import mlflow.pyfunc
    import pandas as pd
    from mlflow.models import Model

    staged = folder.with_name("product")
    shutil.copytree(request.product.directory, staged)
    require_digest(staged, request.product.digest)
    signature = record.read(Signature, staged / SIGNATURE_FILE)
    mlflow.pyfunc.save_model(
        path=str(folder),
        mlflow_model=Model(run_id=run_id, model_id=model_id),
        python_model=str(_PYFUNC),
        artifacts={"product": str(staged)},
        signature=to_mlflow(signature),
        input_example=pd.DataFrame(dict(request.input_example)),
        pip_requirements=_requirements(request.product.runtime),
        model_config={"product_digest": request.product.digest},
        metadata={"towpath.product_digest": request.product.digest},
    )
    require_digest(folder / PRODUCT_PATH, request.product.digest)
    (folder / LINEAGE_PATH).mkdir()
    for name, path in request.files.items():
        shutil.copyfile(path, folder / LINEAGE_PATH / name)
    write_json(folder / LINEAGE_PATH / LINEAGE_FILE, request.lineage)
    if request.native_dir is not None:
        shutil.copytree(request.native_dir, folder / NATIVE_PATH)


def _requirements(runtime: str) -> list[str]:
    for opener in _RUNTIMES[runtime]:
        with suppress(PackageNotFoundError):
            return sorted(f"{name}=={version(name)}" for name in (*_REQUIREMENTS, opener))
    raise MissingExtraError(
        f"a product for {runtime} is opened by {' or '.join(_RUNTIMES[runtime])}, and none is installed; run "
        "`make setup`"
    )


def to_mlflow(signature: Signature) -> ModelSignature:
    """Return a signature in MLflow's words.

    Every input is of any type: MLflow's ``double`` refuses whole numbers, and nothing of it allows a missing string;
    the model itself checks types.
    """
    from mlflow.models import ModelSignature
    from mlflow.types.schema import AnyType, Array, ColSpec, DataType, Schema, TensorSpec

    outputs: list[ColSpec | TensorSpec] = [ColSpec(DataType[_output_type(signature)], "prediction")]
    if signature.task.is_classification:
        outputs.append(ColSpec(Array(DataType.double), "probabilities"))
    inputs: list[ColSpec | TensorSpec] = [ColSpec(AnyType(), spec.name) for spec in signature.inputs]
    return ModelSignature(inputs=Schema(inputs), outputs=Schema(outputs))


def _output_type(signature: Signature) -> str:
    return _OUTPUT_TYPES[type(signature.classes[0])] if signature.classes else "double"
