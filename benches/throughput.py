"""Peak throughput: requests per second that one process answers at most with one core.

Each process is held at a share of a core (`--share`, as [`benches.workers`] does, with its demands), so that the load
and the stub never are what is short, and its requests per second are divided by that share. A closed loop of sixteen
connections keeps it busy. `python -m benches.throughput`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys

from benches.__main__ import contenders
from benches.load.cases import diverse_table, table
from benches.workers import shares, throughput
from headrace_pipelines import _wasm

PASSED = ["headrace", "aiohttp", "nginx", "envoy"]
PIPED = ["headrace+pipelines", "aiohttp+msgspec", "envoy+wasm"]
CASES = {
    "mixed searches, passed": (1500, PASSED),
    "mixed bulks of 10, passed": (1500, PASSED),
    "searches with a query and a result UDF attached": (600, PIPED[:1]),
    "diverse single documents: drop by a condition, set, lowercase": (900, PIPED[:1]),
    "diverse bulks of 10: drop by a condition, set, lowercase": (600, PIPED),
    "diverse bulks of 1,000: drop by a condition, set, lowercase": (60, PIPED),
}
"""Cases of the tables, with the requests of a round and those that are measured."""


def main() -> None:
    """Prints a line of JSON for each case and proxy."""
    parser = argparse.ArgumentParser(prog="python -m benches.throughput", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--share", type=float, default=0.2, help="of one core, for each process")
    options = parser.parse_args()
    if _wasm.DEBUG_BUILD:
        sys.exit("the engine is a debug build; its timings say nothing")
    known = {case.name: case for case in [*diverse_table(), *table()]}
    with contenders() as found:
        measured = [found[name] for name in {*PASSED, *PIPED} if name in found]
        with shares([each.process.pid for each in measured], options.share):
            for name, (requests, proxies) in CASES.items():
                present = [found[each] for each in proxies if each in found]
                rates: dict[str, list[float]] = {each.name: [] for each in present}
                for n in range(options.rounds + 1):
                    for each in present:
                        rate = throughput(known[name], each, requests)
                        # The first round is thrown away.
                        if n:
                            rates[each.name].append(rate / options.share)
                for proxy, of_rounds in rates.items():
                    per_second = statistics.median(of_rounds)
                    line = {"case": name, "proxy": proxy, "per_second": per_second, "rounds": of_rounds}
                    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
