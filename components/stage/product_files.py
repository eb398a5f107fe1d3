"""Which files a product of each runtime is made of: a closed list, so that nothing else travels with one.

Knows no runtime and reads no file's content.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from components.errors import DigestMismatchError, FaultError
from components.types.product import GRAPH_FILE, SAVED_MODEL_DIR, SIGNATURE_FILE

_SAVED_MODEL = f"{SAVED_MODEL_DIR}/saved_model.pb"
_SAVED_MODEL_FILES = {SIGNATURE_FILE, _SAVED_MODEL, f"{SAVED_MODEL_DIR}/fingerprint.pb"}
_SAVED_MODEL_FOLDERS = (f"{SAVED_MODEL_DIR}/variables/", f"{SAVED_MODEL_DIR}/assets/")

_ONNX_WORDS = f"{GRAPH_FILE} and {SIGNATURE_FILE}"
_SAVED_MODEL_WORDS = (
    f"{SIGNATURE_FILE} and {SAVED_MODEL_DIR}/ with saved_model.pb, fingerprint.pb, variables/ and assets/"
)


def require_product_files(directory: Path, runtime: str) -> None:
    """Check that a folder holds a product's files, all of them plain, and nothing else.

    Raises:
        DigestMismatchError: a file is missing, does not belong to a product, or is a link.
        FaultError: nobody knows what a product of this runtime is made of.
    """
    if runtime not in _LAYOUTS:
        raise FaultError(
            f"{directory} is a product for {runtime}, and nobody knows its files; known are those for "
            f"{' and '.join(sorted(_LAYOUTS))}"
        )
    required, belongs, words = _LAYOUTS[runtime]
    if directory.is_symlink() or not directory.is_dir():
        raise DigestMismatchError(f"{directory} is not a folder; expected a product, which is {words}")
    names = set()
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()) or not belongs(name, path.is_dir()):
            raise DigestMismatchError(f"{path} does not belong to a product, which is {words}")
        names.add(name)
    if missing := sorted(required - names):
        raise DigestMismatchError(f"{directory} is incomplete: {missing[0]} is missing; a product is {words}")


def _in_onnx(name: str, is_folder: bool) -> bool:
    return not is_folder and name in (GRAPH_FILE, SIGNATURE_FILE)


def _in_saved_model(name: str, is_folder: bool) -> bool:
    if is_folder:
        return f"{name}/" == f"{SAVED_MODEL_DIR}/" or f"{name}/".startswith(_SAVED_MODEL_FOLDERS)
    return name in _SAVED_MODEL_FILES or name.startswith(_SAVED_MODEL_FOLDERS)


_LAYOUTS: Mapping[str, tuple[set[str], Callable[[str, bool], bool], str]] = {
    "onnx": ({GRAPH_FILE, SIGNATURE_FILE}, _in_onnx, _ONNX_WORDS),
    "savedmodel": ({SIGNATURE_FILE, _SAVED_MODEL}, _in_saved_model, _SAVED_MODEL_WORDS),
}
