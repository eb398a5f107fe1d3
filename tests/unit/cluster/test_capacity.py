"""Work that no node can ever take is refused in one sentence."""

import pytest

from components.cluster.capacity import Request, require_capacity
from components.errors import ConfigError

NODES = [
    {"Alive": True, "Resources": {"CPU": 4.0, "memory": 8e9}},
    {"Alive": True, "Resources": {"CPU": 2.0, "GPU": 1.0, "memory": 4e9}},
    {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0, "memory": 1e12}},
]


@pytest.mark.parametrize("request_", [Request(4), Request(2, 1), Request(0.5, 0.5, 4_000_000_000)])
def test_one_node_that_is_large_enough_will_do(request_):
    require_capacity(request_, NODES, "training t", "key")


@pytest.mark.parametrize("request_", [Request(5), Request(4, 1), Request(1, 0, 9_000_000_000), Request(8, 2)])
def test_several_nodes_together_a_dead_one_and_none_will_not(request_):
    for nodes in (NODES, []):
        with pytest.raises(ConfigError, match="training t asks for .* lower `key`"):
            require_capacity(request_, nodes, "training t", "key")


def test_refusal_names_what_was_asked_and_what_there_is():
    with pytest.raises(ConfigError, match=r"asks for 64 CPUs on one node.*\(nodes have: 2 CPUs; 4 CPUs\)"):
        require_capacity(Request(64), NODES, "training t", "key")
