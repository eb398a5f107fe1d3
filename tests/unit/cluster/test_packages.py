"""A node that would compute something else is refused before anything is sent."""

import pytest

from components.cluster.packages import NEEDED, installed_here, require_same
from components.errors import BadInputError

HERE = {"python": "3.11.7", "processor": "x86_64", **dict.fromkeys(NEEDED, "1.0"), "torch": "2.13.0", "pytest": "9.0"}


def test_same_environment_passes_whatever_else_one_of_them_has():
    there = {name: version for name, version in HERE.items() if name not in ("torch", "pytest")}
    require_same(HERE, {**there, "keras": "3.15.1"}, "n1")


@pytest.mark.parametrize("name", ["python", "processor", "numpy", "torch"])
def test_another_version_is_refused_by_name(name):
    with pytest.raises(BadInputError, match=f"node n1 of the cluster has {name} other where this machine has"):
        require_same(HERE, {**HERE, name: "other"}, "n1")


def test_node_without_what_every_node_needs_is_refused():
    there = {name: version for name, version in HERE.items() if name != "pyarrow"}
    with pytest.raises(BadInputError, match="lacks pyarrow"):
        require_same(HERE, there, "n1")


def test_versions_are_those_of_the_locks(tmp_path):
    (tmp_path / "infra/locks").mkdir(parents=True)
    (tmp_path / "infra/locks/main.txt").write_text("Ruamel_YAML==0.18 \\\n    --hash=x\nnever-installed==1\n")
    found = installed_here(tmp_path)
    assert {"python", "processor", "numpy", "ruamel-yaml"} <= set(found)
    assert not {"never-installed", "pytest"} & set(found)
