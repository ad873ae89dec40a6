"""What grows with the registry: memory, the time until a change is in force, and the CPU time of a request.

A registry of 10, 100, 1,000 and 10,000 pipelines of three built-ins, each attached by a pattern of its own, in front of
a stub with 5,000 indexes. `python -m benches.growth`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benches.__main__ import ROOT, Contender, all_up, load
from benches.load import diverse
from benches.load.cases import call, stage
from benches.load.stub import GROWN as NAMES
from benches.load.traffic import Case, http, searches
from devnode.node import free_port
from headrace_pipelines import _wasm

if TYPE_CHECKING:
    from collections.abc import Iterator

INDEXES = 5000
"""Indexes of the stub beside its own."""
SET = 500
"""Pipelines of one set: with their patterns as many objects as a set may have."""
ROUNDS = 5
"""Rounds of each measurement, of which the medians are shown."""
SIZES = (10, 100, 1000, 10_000)
"""Pipelines of the registry."""


def sets(size: int) -> Iterator[dict[str, object]]:
    """So many pipelines, each attached to the indexes of a pattern, in sets of a size that is taken."""
    stages = [
        stage("debug", "drop") | {"if": "doc.level == 'DEBUG'"},
        stage("env", "set", field="env", value="prod"),
        stage("level", "lowercase", field="level"),
    ]
    for first in range(0, size, SET):
        numbers = range(first, min(first + SET, size))
        yield {
            "set": f"growth-{first}",
            "pipelines": [{"name": f"p{n}", "type": "document", "stages": stages} for n in numbers],
            "associations": {f"grown-{n}-*": {"document": {"default_pipeline": f"p{n}"}} for n in numbers},
        }


def memory(pid: int) -> float:
    """Resident megabytes of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def per_request(contender: Contender, case: Case) -> float:
    """Microseconds of CPU time for a request, the median of some rounds behind a discarded one."""
    found = []
    for _ in range(ROUNDS + 1):
        before = contender.cpu()
        asyncio.run(load(contender.port, case))
        found.append((contender.cpu() - before) / case.weight * 1e6)
    return statistics.median(found[1:])


def until_in_force(port: int) -> float:
    """Milliseconds from the upload of a version to its answer, from when on the version runs."""
    found = []
    for n in range(ROUNDS):
        body = {"type": "document", "stages": [stage("n", "set", field="n", value=n)]}
        began = time.perf_counter()
        call(port, "PUT", "/_pipeline/mine", body)
        found.append((time.perf_counter() - began) * 1000)
    return statistics.median(found)


def measure(size: int, stub: int) -> dict[str, float]:
    """All that one size costs."""
    port = free_port()
    upstream = f"http://127.0.0.1:{stub}"
    with tempfile.TemporaryDirectory() as state:
        command = [sys.executable, "-m", "headrace", "serve", "--upstream", upstream, "--listen", f"127.0.0.1:{port}"]
        command += ["--state-dir", state, "--log-level", "warning", "--registry-index", f".headrace-{size}"]
        proxy = Contender("headrace", subprocess.Popen(command, cwd=ROOT), port)
        try:
            asyncio.run(all_up([port]))
            before, began = memory(proxy.process.pid), time.perf_counter()
            for body in sets(size):
                call(port, "POST", "/_registry/_apply", body)
            applied, grown = time.perf_counter() - began, min(size, INDEXES)
            piped = [http("POST", f"/{NAMES % (n % grown, n % grown)}/_doc", diverse.document(n)) for n in range(400)]
            return {
                "apply_s": applied,
                "memory_mb": memory(proxy.process.pid) - before,
                "change_ms": until_in_force(port),
                "passed_us": per_request(proxy, Case("passed", searches("/other-{}/_search"), 2000, [], unlike=True)),
                "piped_us": per_request(proxy, Case("piped", piped, 2000, [], unlike=True)),
            }
        finally:
            proxy.process.terminate()
            proxy.process.wait(60)


def main() -> None:
    """Prints a line for each size."""
    if _wasm.DEBUG_BUILD:
        sys.exit("a debug build says nothing: make env")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, default=list(SIZES))
    stub = free_port()
    command = [sys.executable, "-m", "benches.load.stub", str(stub), str(INDEXES)]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        asyncio.run(all_up([stub]))
        for size in parser.parse_args().sizes:
            print(
                json.dumps({"pipelines": size} | {k: round(v, 2) for k, v in measure(size, stub).items()}), flush=True
            )
    finally:
        process.terminate()


if __name__ == "__main__":
    main()
