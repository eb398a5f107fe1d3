"""Optional packages that look not installed for a while."""

import importlib
import importlib.metadata
import os
import sys
from importlib.util import find_spec

import pytest

from components.training.core.light_import import light_import, without


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Install a package of one module, and return its name."""
    (tmp_path / "rare_package.py").write_text("ANSWER = 42\n")
    metadata = tmp_path / "rare_package-1.0.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: rare_package\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "rare_package"
    sys.modules.pop("rare_package", None)


def test_a_hidden_package_is_found_neither_as_a_module_nor_by_its_version(package):
    with without(package):
        assert find_spec(package) is None
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(package)
        with pytest.raises(importlib.metadata.PackageNotFoundError):
            importlib.metadata.version(package)


def test_a_hidden_package_is_as_it_was_afterwards(package):
    with pytest.raises(RuntimeError), without(package):
        raise RuntimeError
    assert importlib.import_module(package).ANSWER == 42
    assert importlib.metadata.version(package) == "1.0"


def test_a_package_that_is_imported_already_stays(package):
    importlib.import_module(package)
    with without(package):
        assert importlib.import_module(package).ANSWER == 42


def test_other_packages_are_not_touched(package):
    with without(package):
        assert importlib.metadata.version("pytest") == pytest.__version__


def test_what_an_import_writes_is_shown_only_if_it_fails(capfd):
    with light_import("rare_package"):
        os.write(2, b"a greeting\n")
    assert "a greeting" not in capfd.readouterr().err
    with pytest.raises(ImportError), light_import("rare_package"):
        os.write(2, b"a reason\n")
        raise ImportError
    assert "a reason" in capfd.readouterr().err
