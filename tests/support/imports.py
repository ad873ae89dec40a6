"""Imports each of many modules in a process of its own, forked from one that has loaded other people's packages.

`python -W error -m tests.support.imports` reads `{"packages": [...], "modules": [...], "path": [...]}` from standard
input, and writes the error of each module that cannot be imported.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
import traceback


def main() -> int:
    """Reads what to import, and writes what failed."""
    wanted = json.load(sys.stdin)
    sys.path[:0] = wanted.get("path", [])
    for package in wanted["packages"]:
        importlib.import_module(package)
    ours = [name for name in sys.modules if name.partition(".")[0] in ("headrace", "headrace_pipelines")]
    assert not ours, ours
    failed = {module: error for module in wanted["modules"] if (error := _error_of(module))}
    json.dump(failed, sys.stdout)
    return 0


def _error_of(module: str) -> str:
    """What the import of a module in a fresh process says; nothing, if it succeeds."""
    with tempfile.TemporaryFile("w+") as told:
        child = os.fork()
        if not child:
            status = 1
            try:
                importlib.import_module(module)
                status = 0
            except BaseException:  # noqa: BLE001 - the parent reports it
                traceback.print_exc(file=told)
                told.flush()
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        told.seek(0)
        return told.read() or f"ended with status {status}" if status else ""


if __name__ == "__main__":
    sys.exit(main())
