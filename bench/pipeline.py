"""A whole run beside the same steps as one plain script, and what the small commands cost.

    python -m bench.pipeline [--rounds 3] [--json]

Works in a copy of the project with its servers up. Script and run take turns; the first of each warms the caches and
is left out. The run recomputes everything (`--force all`); its peak memory is that of the parent process alone.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LIMITS = {"run_ratio": 1.4, "run_added_s": 6.0, "nothing_to_do_s": 1.5, "help_s": 0.3, "parent_peak_mb": 450.0}
FRAMEWORKS = ("tensorflow", "keras", "torch", "lightning")
PARENT = """
import json, sys
from pipelines.cli.main import main
code = 0
try:
    code = main()
except SystemExit as end:
    code = end.code
peak_kb = int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])  # ru_maxrss would begin at the caller's
imported = [name for name in {frameworks!r} if name in sys.modules]
open({target!r}, "w").write(json.dumps({{"peak_mb": peak_kb / 1024, "imported": imported}}))
raise SystemExit(code)
"""


def main() -> int:
    """Measure and print; the exit code says whether the limits hold."""
    parser = argparse.ArgumentParser(prog="python -m bench.pipeline")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    found = measure(arguments.rounds)
    print(json.dumps(found, indent=2) if arguments.json else table(found))
    return 0 if all(row["holds"] for row in found["figures"]) else 1


def measure(rounds: int) -> dict[str, Any]:
    """Return the figures, their limits, and the single times in seconds."""
    with tempfile.TemporaryDirectory(prefix="towpath-bench-") as folder:
        project = copy_project(Path(folder) / "project")
        try:
            return _measure(project, rounds)
        finally:
            towpath(project, "down")


def copy_project(target: Path) -> Path:
    """Copy what git tracks, and commit it."""
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file() and not name.startswith("tests/"):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    (target / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
    for command in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=b", "-c", "user.email=b@x", "commit", "-qm", "bench"],
    ):
        subprocess.run(["git", *command], cwd=target, check=True)
    return target


def _measure(project: Path, rounds: int) -> dict[str, Any]:
    towpath(project, "up")
    services = json.loads(towpath(project, "status", "--json"))["services"]
    tracking = next(service["url"] for service in services if service["name"] == "mlflow")
    run_s: list[float] = []
    script_s: list[float] = []
    for _ in range(rounds + 1):
        script_s.append(timed(lambda: _script(project, tracking)))
        run_s.append(timed(lambda: towpath(project, "run", "breast_cancer", "--force", "all")))
    run, script = statistics.median(run_s[1:]), statistics.median(script_s[1:])
    idle = statistics.median(timed(lambda: towpath(project, "run", "breast_cancer")) for _ in range(5))
    shown = statistics.median(timed(lambda: towpath(project, "--help")) for _ in range(5))
    parent = _parent(project)
    values = {
        "run_ratio": run / script,
        "run_added_s": run - script,
        "nothing_to_do_s": idle,
        "help_s": shown,
        "parent_peak_mb": parent["peak_mb"],
    }
    figures = [
        {"figure": name, "value": round(value, 3), "limit": LIMITS[name], "holds": value <= LIMITS[name]}
        for name, value in values.items()
    ]
    none = not parent["imported"]
    figures.append({"figure": "frameworks in the parent", "value": len(parent["imported"]), "limit": 0, "holds": none})
    return {"figures": figures, "run_s": run_s[1:], "script_s": script_s[1:]}


def _parent(project: Path) -> dict[str, Any]:
    target = project / "parent.json"
    code = PARENT.format(target=str(target), frameworks=list(FRAMEWORKS))
    command = [sys.executable, "-c", code, "run", "breast_cancer", "--force", "all"]
    subprocess.run(command, cwd=project, env=_environment(), check=True, capture_output=True)
    answer: dict[str, Any] = json.loads(target.read_text())
    return answer


def _script(project: Path, tracking: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        suite = project / "data/breast_cancer/expectations.json"
        command = [sys.executable, str(ROOT / "bench/plain_script.py"), folder, tracking, str(suite)]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)


def towpath(project: Path, *arguments: str) -> str:
    """Run a command of ours in the project, and return what it prints."""
    command = [sys.executable, "-m", "pipelines.cli", *arguments]
    return subprocess.run(command, cwd=project, env=_environment(), check=True, capture_output=True, text=True).stdout


def _environment() -> dict[str, str]:
    return {**os.environ, "TOWPATH_PYTHON": sys.executable}


def timed(work: Any) -> float:
    """Return the seconds that the work takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def table(found: dict[str, Any]) -> str:
    """Return the figures as lines of text."""
    rows = [f"{'figure':56} {'value':>10} {'limit':>10}  holds"]
    rows += [
        f"{row['figure']:56} {row['value']:>10} {row['limit']:>10}  {'yes' if row['holds'] else 'NO'}"
        for row in found["figures"]
    ]
    return "\n".join(rows)


if __name__ == "__main__":
    raise SystemExit(main())
