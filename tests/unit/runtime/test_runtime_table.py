"""Runtimes are found by their kind, those of others through an entry point; one that cannot load stops the run."""

import pytest

from components.errors import FaultError, UnknownNameError
from components.runtime.memory_runtime import MemoryRuntime
from components.runtime.onnx_runtime import OnnxRuntime
from components.runtime.signature import read_signature, write_signature
from components.runtime.table import ENTRY_POINT_GROUP, RUNTIMES, find_runtime
from components.types.dataset import ColumnType, Task
from components.types.product import InputSpec, Signature


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install a distribution that offers runtimes, as a third party would."""
    folder = tmp_path / "third_party-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: third-party\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(
        f"[{ENTRY_POINT_GROUP}]\n"
        "remembered = components.runtime.memory_runtime:MemoryRuntime\n"
        "broken = no_such_package.runtime:Runtime\n"
        "nameless = components.runtime.memory_runtime:NoSuchClass\n"
        "onnx = components.runtime.memory_runtime:MemoryRuntime\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


def test_every_built_in_runtime_loads():
    assert find_runtime("onnx") is OnnxRuntime
    assert all(isinstance(find_runtime(kind), type) for kind in RUNTIMES)


def test_a_third_partys_runtime_is_found_and_cannot_take_a_built_in_name(installed):
    assert find_runtime("remembered") is MemoryRuntime
    assert find_runtime("onnx") is OnnxRuntime


@pytest.mark.parametrize("kind", ["broken", "nameless"])
def test_a_configured_runtime_that_cannot_load_stops_the_run(installed, kind):
    with pytest.raises(FaultError, match=f"runtime `{kind}` .* cannot be loaded"):
        find_runtime(kind)


def test_an_unknown_kind_names_those_that_are_there(installed):
    with pytest.raises(UnknownNameError, match="no runtime `onyx`; there are: broken, nameless, onnx, remembered"):
        find_runtime("onyx")


@pytest.mark.parametrize("classes", [(), ("no", "yes"), (0, 1, 2), (False, True)])
def test_a_signature_comes_back_as_it_was_written(tmp_path, classes):
    inputs = (
        InputSpec("hours-per-week", ColumnType.INT64, (), nullable=False, columns=("hours-per-week",)),
        InputSpec("image", ColumnType.FLOAT64, (1, 2, 1), nullable=False, columns=("p0", "p1")),
    )
    signature = Signature(Task.MULTICLASS if classes else Task.REGRESSION, inputs, classes)
    write_signature(tmp_path, signature)
    found = read_signature(tmp_path)
    assert found == signature
    assert [type(each) for each in found.classes] == [type(each) for each in classes]


def test_a_missing_signature_is_a_fault(tmp_path):
    with pytest.raises(FaultError, match=r"signature\.json cannot be read"):
        read_signature(tmp_path)
