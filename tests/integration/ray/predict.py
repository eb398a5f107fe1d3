"""python predict.py PRODUCT DIGEST SOURCE TARGET here|there|killed: predict a file, as `towpath predict` does it.

``killed`` kills one of the processes that predict on the cluster once the first rows are there.
"""

import sys
from pathlib import Path

import psutil

from components.cluster.capacity import Request
from components.errors import TowpathError
from components.serving.cluster_scoring import ClusterScoring
from components.serving.predict import predict_file
from components.types.product import ProductRef


def main(directory: str, digest: str, source: str, target: str, where: str) -> int:
    product = ProductRef(Path(directory), digest, "onnx")
    elsewhere = None if where == "here" else ClusterScoring(product, Path(source), Request(1.0), "runner")
    killed: list[int] = []

    def progress(rows: int) -> None:
        if where == "killed" and not killed:
            victim = next(each for each in psutil.process_iter() if "ray::NodeScorer" in " ".join(command(each)))
            killed.append(victim.pid)
            victim.kill()

    try:
        rows = predict_file(
            product, Path(source), Path(target), batch_rows=1000, progress=progress, elsewhere=elsewhere
        )
    except TowpathError as error:
        print(f"{type(error).__name__}: {error}")
        return error.exit_code
    print(rows, len(killed))
    return 0


def command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
