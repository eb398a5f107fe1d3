"""Nobody joins, or starts, a cluster by accident."""

import socket

import pytest

from components.cluster.session import joined
from components.errors import BadInputError, InfrastructureError

pytest.importorskip("ray", reason="the extra `ray` is not installed")


@pytest.mark.parametrize("address", ["", "auto", "local", "ray://head:10001", "head", ":6379"])
def test_address_must_be_that_of_a_head(address, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(BadInputError, match="RAY_ADDRESS .* needs HOST:PORT"), joined():
        pass


def test_cluster_that_is_not_there_is_said_at_once(monkeypatch):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(InfrastructureError, match=f"no Ray cluster answers at {address}"), joined():
            pass
