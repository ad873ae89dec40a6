"""What a second worker adds: requests per second of two workers beside those of one, each on its share of a core.

Two free cores, and others for the load and the stub, are more than most machines have to spare. So each worker process
gets the same small share of CPU time (`--share`, of one core), held by the kernel (a control group of its own, as
containers have), and the load and the stub get the rest: then what a worker can do is measured, not what they leave of
it. Needs root, and the `cpu` controller of control groups, version 1 or 2.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benches.__main__ import Contender, contenders, load, tree
from benches.load.cases import diverse_table, register, table
from headrace_pipelines import _wasm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benches.load.traffic import Case

GROUPS = Path("/sys/fs/cgroup")
PERIOD = 100_000
"""Microseconds in which a worker may use its share once, as in containers: a shorter one ends runs in their middle."""
CASES = {
    "search, passed": 4000,
    "searches with a query and a result UDF attached": 1000,
    "bulk of 1,000: drop by a condition, set, lowercase": 200,
}
"""Cases of the table, with requests for each worker in a round."""


def limits(share: float) -> dict[str, str]:
    """The files of a control group that hold a share of one core, and what goes into them.

    Raises:
        RuntimeError: If no `cpu` controller is here.
    """
    quota = int(PERIOD * share)
    if (GROUPS / "cpu" / "cpu.cfs_quota_us").exists():
        return {"cpu.cfs_period_us": f"{PERIOD}", "cpu.cfs_quota_us": f"{quota}"}
    subtree = GROUPS / "cgroup.subtree_control"
    if subtree.exists() and "cpu" in subtree.read_text().split():
        return {"cpu.max": f"{quota} {PERIOD}"}
    raise RuntimeError(f"no cpu controller of control groups under {GROUPS}")


@contextlib.contextmanager
def shares(workers: list[int], share: float) -> Iterator[None]:
    """Holds each of the processes at a share of a core until this ends."""
    files = limits(share)
    top = GROUPS if "cpu.max" in files else GROUPS / "cpu"
    groups = [top / f"headrace-bench-{pid}" for pid in workers]
    try:
        for group, pid in zip(groups, workers, strict=True):
            group.mkdir()
            for name, value in files.items():
                (group / name).write_text(value)
            (group / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        for group in groups:
            with contextlib.suppress(FileNotFoundError):
                # Processes go back to where all are, or the group could not be taken away.
                for pid in (group / "cgroup.procs").read_text().split():
                    (top / "cgroup.procs").write_text(pid)
                group.rmdir()


def throughput(case: Case, contender: Contender, requests: int) -> float:
    """Requests per second of one round of so many."""
    case.weight = requests
    before = time.perf_counter()
    asyncio.run(load(contender.port, case))
    return requests / (time.perf_counter() - before)


def main() -> None:
    """Runs the cases in turn and prints requests per second and their ratio."""
    parser = argparse.ArgumentParser(prog="python -m benches.workers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--share", type=float, default=0.2, help="of one core, for each worker")
    options = parser.parse_args()
    if _wasm.DEBUG_BUILD:
        sys.exit("the engine is a debug build; its timings say nothing")
    known = {case.name: case for case in [*diverse_table(), *table()]}
    with contenders() as found:
        one, two = found["headrace+pipelines"], found["headrace, 2 workers"]
        register(two.port)
        # The parent of two workers serves nothing.
        workers = [one.process.pid, *tree(two.process.pid)[1:]]
        with shares(workers, options.share):
            for name, requests in CASES.items():
                compare(known[name], one, two, requests, options.rounds)


def compare(case: Case, one: Contender, two: Contender, requests: int, rounds: int) -> None:
    """Rounds of one worker and of two in turn, the first thrown away; medians and spread."""
    alone, both, cpu = [], [], []
    for n in range(rounds + 1):
        before = one.cpu()
        a = throughput(case, one, requests)
        middle, other = one.cpu(), two.cpu()
        b = throughput(case, two, 2 * requests)
        if n:
            alone.append(a)
            both.append(b)
            cpu.append((two.cpu() - other) / 2 / (middle - before))
    ratios = sorted(b / a for a, b in zip(alone, both, strict=True))
    print(case.name)
    print(f"   one worker  {statistics.median(alone):8.0f} requests/s  ({min(alone):.0f} to {max(alone):.0f})")
    print(f"   two workers {statistics.median(both):8.0f} requests/s  ({min(both):.0f} to {max(both):.0f})", end="")
    print(f"   ratio {statistics.median(ratios):.2f}  ({ratios[0]:.2f} to {ratios[-1]:.2f})", end="")
    print(f"   CPU per request {statistics.median(cpu):.2f}", flush=True)


if __name__ == "__main__":
    main()
