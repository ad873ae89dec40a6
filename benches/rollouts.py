"""What a rollout adds to the latency of live traffic: p50 and p99 beside the same without, in alternating rounds.

Requests come at a fixed rate by an open loop, as in `benches.latency`; the candidate is a copy of the stable version.
`python -m benches.rollouts --rate 300`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from typing import TYPE_CHECKING

import uvloop

from benches.__main__ import contenders
from benches.latency import latencies, quantiles
from benches.load.cases import call, diverse_table
from headrace_pipelines import _wasm

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = "native"
"""The pipeline of the rollouts; the indexes of the cases have it attached."""
CASES = (
    "diverse single documents: drop by a condition, set, lowercase",
    "diverse bulks of 10: drop by a condition, set, lowercase",
)
ROLLOUTS = {
    "canary, 10 %": {"mode": "canary", "steps": [{"percent": 10}]},
    "shadow, 10 %": {"mode": "shadow", "steps": [{"percent": 10}]},
}


def begin(port: int, spec: Mapping[str, object]) -> None:
    """Starts a rollout of the second version, and waits for its first step."""
    call(port, "PUT", f"/_pipeline/{NAME}/_rollout", {"candidate": "candidate", **spec})
    while not call(port, "GET", f"/_pipeline/{NAME}/_rollout")["percent"]:
        time.sleep(0.1)


def main() -> None:
    """Prints a line for each case and rollout."""
    if _wasm.DEBUG_BUILD:
        sys.exit("a debug build says nothing: make env")
    parser = argparse.ArgumentParser(prog="python -m benches.rollouts", description=__doc__)
    parser.add_argument("--rate", type=float, default=300.0, help="requests per second")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each round")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    known = {case.name: case for case in diverse_table()}
    with contenders() as found:
        port = found["headrace+pipelines"].port
        stored = call(port, "GET", f"/_pipeline/{NAME}")
        candidate = {"type": "document", "version": "candidate", "stages": stored["stages"]}
        call(port, "PUT", f"/_pipeline/{NAME}?activate=false", candidate)
        for name in CASES:
            for title, spec in ROLLOUTS.items():
                rounds = []
                for n in range(options.rounds + 1):
                    alone = quantiles(uvloop.run(latencies(port, known[name], options.rate, options.seconds)))
                    begin(port, spec)
                    beside = quantiles(uvloop.run(latencies(port, known[name], options.rate, options.seconds)))
                    call(port, "POST", f"/_pipeline/{NAME}/_abort")
                    if n:
                        rounds.append((*alone, *beside))
                medians = [statistics.median(column) for column in zip(*rounds, strict=True)]
                names = ("p50_ms", "p99_ms", "p50_rollout_ms", "p99_rollout_ms")
                line = {"case": name, "rollout": title, **dict(zip(names, [round(m, 3) for m in medians], strict=True))}
                print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
