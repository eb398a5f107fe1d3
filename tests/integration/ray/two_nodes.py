"""Two nodes of a Ray cluster on loopback, each with a temporary folder of its own; ends when its input ends.

python two_nodes.py FOLDER: prints one line of JSON, the address and the process of each node's raylet. A line ``kill
NAME`` kills a node's raylet without a warning, and ``add NAME`` adds a node; each is answered by one line.
"""

import json
import os
import sys
from pathlib import Path

from ray.cluster_utils import Cluster


def main(folder: Path) -> None:
    Path("/tmp/ray").mkdir(exist_ok=True)  # Ray writes the last cluster's address there, wherever its files lie
    cluster, nodes = Cluster(shutdown_at_exit=True), {}

    def add(name: str) -> None:
        (folder / name).mkdir()
        nodes[name] = cluster.add_node(
            node_ip_address="127.0.0.1",
            include_dashboard=False,
            num_cpus=2,
            object_store_memory=150 * 1024 * 1024,
            env_vars={"TMPDIR": str(folder / name), "NODE_NAME": name},
            **({} if cluster.head_node else {"temp_dir": str(folder)}),
        )

    def answer(**content: object) -> None:
        print(json.dumps(content), flush=True)

    try:
        add("head")
        add("second")
        answer(address=cluster.address)
        for line in sys.stdin:
            word, name = line.split()
            if word == "kill":
                node = nodes.pop(name)
                node.kill_raylet(check_alive=False)
                cluster.remove_node(node, allow_graceful=False)
            else:
                add(name)
            answer(done=line.strip())
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    os.environ.update(RAY_USAGE_STATS_ENABLED="0")
    main(Path(sys.argv[1]))
