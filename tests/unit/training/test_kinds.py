"""What a kind needs is checked before anything is spent on it."""

import sys

import pytest

from components.errors import MissingExtraError
from components.training.core.kinds import KINDS, require_installed

NEEDING = [name for name, kind in KINDS.items() if kind.needs]


def test_kinds_that_need_a_package_are_known():
    assert {"keras", "lightning", "tfx"} <= set(NEEDING)


@pytest.mark.parametrize("name", NEEDING)
def test_missing_package_is_named_with_its_extra_and_nothing_is_installed(name, tmp_path, monkeypatch):
    monkeypatch.setenv("TOWPATH_ENVIRONMENTS", str(tmp_path / "environments"))
    for module in KINDS[name].needs:
        monkeypatch.setitem(sys.modules, module, None)  # as if it were not there
    said: list[str] = []

    with pytest.raises(MissingExtraError, match=rf"kind `{name}` needs .*pip install -e '\.\[{KINDS[name].extra}\]'"):
        require_installed(name, said.append)

    assert said == []
    assert not (tmp_path / "environments").exists()
