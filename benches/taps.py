"""What an open tap costs: CPU time per request of a proxy with a tap beside the same without, in alternating rounds.

The tap shows five records a second, with a patch for each stage. The gate is two percent of the full bulk loads.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import threading
import time
import urllib.request
from typing import TYPE_CHECKING

from benches.__main__ import Contender, contenders, load
from benches.load.cases import table
from headrace_pipelines import _wasm

if TYPE_CHECKING:
    from benches.load.traffic import Case

CASES = {
    "bulk of 1,000: drop by a condition, set, lowercase": 300,
    "bulk of 1,000: conditions that are false": 300,
    "bulk of 1,000: filter UDF, set, lowercase": 300,
    "mixed bulks of 10: built-ins": 1500,
    "search with a query and a result UDF": 1500,
    "search, passed beside pipelines of other indexes": 4000,
}
"""Cases of the table, with requests of a round."""
SELECTIONS = {"5/s": {}, "5/s, failures only": {"outcome": ["failed"]}, "5/s, match": {"match": "doc.level == 'NONE'"}}


class Reader:
    """Reads one tap on a thread; `end` is its last line."""

    def __init__(self, port: int, selection: dict[str, object], seconds: float) -> None:
        body = json.dumps({"duration": f"{int(seconds * 1000)}ms", **selection}).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{port}/_proxy/tap", body, headers, method="POST")
        self._answer = urllib.request.urlopen(request, timeout=300)
        self.end: dict[str, int] = {}
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        for line in self._answer:
            self.end = json.loads(line)

    def stop(self) -> None:
        """Waits for the end of the tap."""
        self._thread.join()


def measure(case: Case, proxy: Contender, requests: int) -> tuple[float, float]:
    """CPU seconds of the proxy per request, and seconds per request, of one round."""
    case.weight = requests
    cpu, clock = proxy.cpu(), time.perf_counter()
    asyncio.run(load(proxy.port, case))
    return (proxy.cpu() - cpu) / requests, (time.perf_counter() - clock) / requests


def compare(case: Case, proxy: Contender, requests: int, rounds: int, selection: dict[str, object]) -> str:
    """Rounds without and with a tap in turn, the first thrown away; ratios of CPU time and of throughput."""
    cpu, rate, missed, shown, seconds = [], [], 0, 0, 10.0
    for n in range(rounds + 1):
        before = time.perf_counter()
        off = measure(case, proxy, requests)
        seconds = (time.perf_counter() - before) * 1.5 + 0.5
        reader = Reader(proxy.port, selection, seconds)
        on = measure(case, proxy, requests)
        reader.stop()
        if n:
            cpu.append(on[0] / off[0])
            rate.append(off[1] / on[1])
            missed += reader.end["missed"]
            shown += reader.end["shown"] + reader.end["refused"]
    ratio = f"CPU {statistics.median(cpu):.3f} ({min(cpu):.3f} to {max(cpu):.3f})"
    return f"{ratio}   throughput {statistics.median(rate):.3f}   {shown} records, {missed} missed"


def main() -> None:
    """Prints a line for each case and selection."""
    parser = argparse.ArgumentParser(prog="python -m benches.taps", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    options = parser.parse_args()
    if _wasm.DEBUG_BUILD:
        sys.exit("the engine is a debug build; its timings say nothing")
    with contenders() as found:
        proxy = found["headrace+pipelines"]
        for case in table():
            if case.name not in CASES or options.only not in case.name:
                continue
            for name, selection in SELECTIONS.items():
                line = compare(case, proxy, CASES[case.name], options.rounds, selection)
                print(f"{case.name:<52} {name:<20} {line}", flush=True)


if __name__ == "__main__":
    main()
