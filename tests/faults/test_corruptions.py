"""Products that were damaged in the store: whatever was done to them, neither a gateway nor a promotion takes them.

Both check the bytes themselves: a gateway those that it loads, a promotion those that it is about to send on.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from bench.products import mixed_product
from components.errors import DigestMismatchError
from components.release.store import Store
from components.serving.measurements import Measurements
from components.serving.served_model import load_served
from components.types.release import ModelRef, PlacedModel

DAMAGES = 1_000 if os.environ.get("TOWPATH_FULL") == "1" else 60
Damage = Callable[[Path, Random], None]


def a_file(product: Path, chance: Random) -> Path:
    """Return any of a product's files, and let it be written."""
    file = chance.choice(sorted(product.iterdir()))
    file.chmod(0o644)
    return file


def flip(product: Path, chance: Random) -> None:
    file = a_file(product, chance)
    content = bytearray(file.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    file.write_bytes(content)


def truncate(product: Path, chance: Random) -> None:
    file = a_file(product, chance)
    os.truncate(file, chance.randrange(file.stat().st_size))


def append(product: Path, chance: Random) -> None:
    with a_file(product, chance).open("ab") as file:
        file.write(chance.randbytes(chance.randint(1, 100)))


def add(product: Path, chance: Random) -> None:
    name = chance.choice(["model.onnx.data", ".hidden", "weights.pkl", "assets/vocabulary.txt"])
    (product / name).parent.mkdir(exist_ok=True)
    (product / name).write_bytes(chance.randbytes(chance.randint(0, 100)))


def link(product: Path, chance: Random) -> None:
    """Put a link to the very same bytes in a file's place: they could be exchanged after they were checked."""
    file = a_file(product, chance)
    elsewhere = product.parent.parent / f"elsewhere-{file.name}"
    file.replace(elsewhere)
    file.symlink_to(elsewhere)


def rename(product: Path, chance: Random) -> None:
    file = a_file(product, chance)
    file.rename(file.with_name(chance.choice([file.name.upper(), f"{file.name}.bak", f".{file.name}"])))


def swap(product: Path, chance: Random) -> None:
    one, other = chance.sample(sorted(product.iterdir()), 2)
    aside = product.parent.parent / "aside"
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


def remove(product: Path, chance: Random) -> None:
    a_file(product, chance).unlink()


KINDS: tuple[Damage, ...] = (flip, truncate, append, add, link, rename, swap, remove)


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Store, str]:
    """Return a store, and the digest of a product that is in it."""
    store = Store(tmp_path / "store")
    return store, store.put(mixed_product(tmp_path / "product").directory)


@pytest.fixture
def damaged(stored: tuple[Store, str], tmp_path: Path) -> Iterator[Iterator[str]]:
    """Return damages one after the other, each done to a whole product, by what was done."""
    store, digest = stored
    whole = tmp_path / "whole"
    shutil.copytree(store.root / digest, whole)

    def each() -> Iterator[str]:
        chance = Random(14)
        for number in range(DAMAGES):
            shutil.rmtree(store.root / digest)
            shutil.copytree(whole, store.root / digest)
            damage = KINDS[number % len(KINDS)]
            damage(store.root / digest, chance)
            yield f"{damage.__name__} ({number})"
        shutil.rmtree(store.root / digest)
        shutil.copytree(whole, store.root / digest)

    return each()


def test_nothing_that_was_damaged_is_loaded_or_sent_on(
    stored: tuple[Store, str], damaged: Iterator[str], tmp_path: Path
) -> None:
    store, digest = stored
    elsewhere = Store(tmp_path / "elsewhere")
    placed = PlacedModel(ModelRef("mixed", 1, digest), store.root / digest, "onnx")
    uses: dict[str, Callable[[], object]] = {
        "the gateway loads it": lambda: load_served(placed, Measurements()),
        "promote hands it out": lambda: store.path(digest),
        "the next environment takes it over": lambda: elsewhere.copy_from(store, digest),
    }
    used, tried = [], Counter[str]()
    for what in damaged:
        for use, act in uses.items():
            tried[use] += 1
            try:
                act()
            except DigestMismatchError:
                continue
            used.append(f"{what}: {use}")
    assert used == []
    assert set(tried.values()) == {DAMAGES}
    assert digest not in elsewhere
    for act in uses.values():
        act()  # whole again, it is taken by all of them
    print(f"{DAMAGES} damaged products, 0 used")
