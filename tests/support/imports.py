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
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def main() -> int:
    """Reads what to import, and writes what failed."""
    wanted = json.load(sys.stdin)
    sys.path[:0] = wanted.get("path", [])
    for package in wanted["packages"]:
        importlib.import_module(package)
    ours = [name for name in sys.modules if name.partition(".")[0] in ("headrace", "headrace_pipelines")]
    assert not ours, ours
    json.dump({module: error for module, error in errors_of(wanted["modules"]) if error}, sys.stdout)
    return 0


def errors_of(modules: list[str]) -> Iterator[tuple[str, str]]:
    """Each module with what its import in a fresh process says; nothing, if it succeeds. As many at once as cores."""
    waiting, running = list(reversed(modules)), {}
    while waiting or running:
        while waiting and len(running) < (os.cpu_count() or 1):
            told = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed below
            module = waiting.pop()
            running[_start(module, told)] = module, told
        child, status = os.wait()
        module, told = running.pop(child)
        with told:
            told.seek(0)
            yield module, (told.read() or f"ended with status {status}") if status else ""


def _start(module: str, told: IO[str]) -> int:
    """Imports a module in a fork of this process; gives its number."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        importlib.import_module(module)
        status = 0
    except BaseException:  # noqa: BLE001 - the parent reports it
        traceback.print_exc(file=told)
        told.flush()
    finally:
        os._exit(status)


if __name__ == "__main__":
    sys.exit(main())
