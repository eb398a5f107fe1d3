"""The gateway as a program: ``python -m components.serving --snapshot PATH --host 127.0.0.1 --port 8080``."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from components.errors import TowpathError
from components.serving.options import TOKEN_VARIABLE, GatewayOptions, Limits, token_from_environment


def main(arguments: list[str]) -> int:
    """Serve until told to stop, and return the exit code."""
    # one prediction uses one thread, so that libraries need no pools of their own; must be set before numpy starts
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    options = _options(arguments)
    try:
        if options.workers > 1:
            from components.serving.workers import serve_by_workers

            return serve_by_workers(options)
        from components.serving.server import serve  # a quarter second of imports that nothing above needs

        serve(options)
    except TowpathError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def _options(arguments: list[str]) -> GatewayOptions:
    default = Limits()
    parser = argparse.ArgumentParser(prog="components.serving", description="Serve what a router snapshot names.")
    parser.add_argument("--snapshot", type=Path, required=True, help="the router snapshot (JSON); it is followed")
    parser.add_argument("--host", default="127.0.0.1", help=f"another than this machine's own needs {TOKEN_VARIABLE}")
    parser.add_argument("--port", type=int, default=8080, help="0 takes a free one")
    parser.add_argument("--port-file", type=Path, help="where to write the port once the gateway listens")
    parser.add_argument("--body-bytes", type=int, default=default.body_bytes, help="largest body")
    parser.add_argument("--time-s", type=float, default=default.time_s, help="time limit of a request")
    parser.add_argument("--in-flight", type=int, default=default.in_flight, help="most requests at once")
    parser.add_argument("--connections", type=int, default=default.connections, help="most open connections")
    parser.add_argument("--rows", type=int, default=default.rows, help="most rows in one request")
    parser.add_argument("--workers", type=int, default=1, help="processes that answer, behind one port and one judge")
    parser.add_argument(
        "--state-dir",
        type=Path,
        help="where counts and alarms of rollouts are kept, for this gateway alone; they outlive it "
        "(default: gateway-PORT beside the snapshot; with port 0 a temporary folder)",
    )
    parser.add_argument(
        "--user-header", default=GatewayOptions.user_header, help="who asks: a user stays with one version"
    )
    parser.add_argument("--log-dir", type=Path, help="log predictions here, as Parquet (default: none are logged)")
    parser.add_argument("--log-rate", type=float, default=1.0, help="share of the requests that is logged")
    parser.add_argument(
        "--log-file-s", type=float, default=GatewayOptions.log_file_s, help="age at which a file of the log is closed"
    )
    parser.add_argument("--log-bytes", type=int, default=GatewayOptions.log_bytes, help="largest size of the log")
    given = parser.parse_args(arguments)
    limits = Limits(given.body_bytes, given.time_s, given.in_flight, given.connections, rows=given.rows)
    return GatewayOptions(
        given.snapshot,
        given.host,
        given.port,
        given.port_file,
        token_from_environment(),
        limits,
        workers=given.workers,
        state_dir=given.state_dir,
        user_header=given.user_header,
        log_dir=given.log_dir,
        log_rate=given.log_rate,
        log_file_s=given.log_file_s,
        log_bytes=given.log_bytes,
    )


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
