"""Every figure of the documentation, measured here and now: ``make bench``, or ``python -m bench [NAME ...]``.

Ratios are within one run, values are medians. Prints a table, and writes JSON to ``reports/bench/``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

SECTIONS = ("pipeline", "gateway", "harness", "scale", "judge", "live", "taxi_tfx", "monitoring")
TARGET = Path("reports/bench")


def main() -> int:
    """Run the sections, each in a process of its own; the exit code says whether every limit holds."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("sections", nargs="*", help=f"of: {', '.join(SECTIONS)}; all when left out")
    sections = parser.parse_args().sections or list(SECTIONS)
    if unknown := sorted(set(sections) - set(SECTIONS)):
        parser.error(f"no section {unknown[0]}; there are: {', '.join(SECTIONS)}")
    TARGET.mkdir(parents=True, exist_ok=True)
    print(f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores", flush=True)
    codes = []
    for section in sections:
        print(f"\n== {section}", flush=True)
        done = subprocess.run([sys.executable, "-m", f"bench.{section}", "--json"], stdout=subprocess.PIPE, text=True)
        codes.append(done.returncode)
        (TARGET / f"{section}.json").write_text(done.stdout)
        print(_shown(done.stdout), flush=True)
    return max(codes)


def _shown(text: str) -> str:
    try:
        figures = json.loads(text)["figures"]
    except (ValueError, KeyError, TypeError):
        return text
    from bench.pipeline import table

    return table({"figures": figures})


if __name__ == "__main__":
    raise SystemExit(main())
