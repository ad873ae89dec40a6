"""`python -m devnode run` keeps a node up until Ctrl-C; `java` prints the Java it would use (exit 3: none)."""

from __future__ import annotations

import argparse
import signal
import sys

from devnode import fetch
from devnode.node import running_cluster, stop_on_sigterm
from headrace.cli.demo import java
from headrace.cli.demo.errors import NodeError


def main() -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m devnode", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("java", help="print the Java runtime that a node would use")
    commands.add_parser("fetch", help="bring the server into the cache folder")
    run = commands.add_parser("run", help="run a node in the foreground")
    run.add_argument("--port", type=int, default=9200)
    run.add_argument("--nodes", type=int, default=1, help="nodes of the cluster; all but the first have free ports")
    run.add_argument("--full", action="store_true", help="all compiler tiers: for measuring, not for tests")
    options = parser.parse_args()
    if options.command == "java":
        found = java.find()
        print(found.path if found else "none")
        return 0 if found else 3
    if options.command == "fetch":
        return _fetched()
    stop_on_sigterm()
    try:
        with running_cluster(options.nodes, options.port, fast=not options.full) as urls:
            print("\n".join(urls), flush=True)
            signal.pause()
    except KeyboardInterrupt:
        return 0
    except NodeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _fetched() -> int:
    try:
        fetch.server()
    except NodeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
