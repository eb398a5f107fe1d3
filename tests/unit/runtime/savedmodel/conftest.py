"""One TensorFlow process for the tests of this folder: importing it takes seconds, a server of it a fraction of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from components.runtime.savedmodel.runtime import SavedModelRuntime
from components.types.product import ProductRef
from tests.saved_models import saved_product


@pytest.fixture(scope="module")
def warm(saved_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SavedModelRuntime]:
    made = SavedModelRuntime()
    made.load(saved_product(saved_models, "sum-1", tmp_path_factory.mktemp("warm") / "product"))
    yield made
    made.close()


@pytest.fixture
def product(saved_models: Path, tmp_path: Path) -> Callable[..., ProductRef]:
    """Return a function that makes a product of the SavedModel with a name."""

    def make(name: str, signature: Any = None) -> ProductRef:
        return saved_product(saved_models, name, tmp_path / f"product-{len(list(tmp_path.iterdir()))}", signature)

    return make


@pytest.fixture
def opened(warm: SavedModelRuntime, product: Callable[..., ProductRef]) -> Iterator[Callable[..., SavedModelRuntime]]:
    """Return a function that gives a runtime with a product loaded."""
    made = []

    def open_(name: str = "sum-1") -> SavedModelRuntime:
        made.append(SavedModelRuntime())
        made[-1].load(product(name))
        return made[-1]

    yield open_
    for each in made:
        each.close()
