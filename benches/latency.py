"""Added latency at a fixed rate: p50 and p99 beside the stub alone, by an open loop.

Requests are sent when they are due, whether earlier ones have been answered or not, and a latency begins when its
request was due (as wrk2 measures it). `python -m benches.latency --rate 500`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from typing import TYPE_CHECKING

import uvloop

from benches.__main__ import contenders
from benches.load.cases import diverse_table, table
from headrace_pipelines import _wasm

if TYPE_CHECKING:
    from benches.load.traffic import Case

CASES = {
    "mixed searches, passed": ["headrace", "aiohttp", "nginx", "envoy"],
    "searches with a query and a result UDF attached": ["headrace+pipelines"],
    "diverse single documents: drop by a condition, set, lowercase": ["headrace+pipelines"],
    "diverse bulks of 10: drop by a condition, set, lowercase": ["headrace+pipelines", "aiohttp+msgspec", "envoy+wasm"],
}
"""Cases of the tables, with those that are measured."""
CONNECTIONS = 64
"""Connections; a request whose connections are all busy waits, and that counts."""


async def latencies(port: int, case: Case, rate: float, seconds: float) -> list[float]:
    """Milliseconds from when each request was due to its answer."""
    count, found = int(rate * seconds), []
    due: asyncio.Queue[tuple[int, float] | None] = asyncio.Queue()

    async def worker() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
        while (task := await due.get()) is not None:
            number, at = task
            writer.write(case.sent(number))
            head = await reader.readuntil(b"\r\n\r\n")
            lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            await reader.readexactly(int(lengths[0][15:]))
            found.append((time.perf_counter() - at) * 1000)
        writer.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(worker())
        await asyncio.sleep(0.2)
        began = time.perf_counter()
        for number in range(count):
            at = began + number / rate
            if (left := at - time.perf_counter()) > 0:
                await asyncio.sleep(left)
            due.put_nowait((number, at))
        for _ in range(CONNECTIONS):
            due.put_nowait(None)
    return found


def quantiles(found: list[float]) -> tuple[float, float]:
    """p50 and p99."""
    cuts = statistics.quantiles(found, n=100)
    return cuts[49], cuts[98]


def main() -> None:
    """Prints a line for each case and contender."""
    if _wasm.DEBUG_BUILD:
        sys.exit("a debug build says nothing: make env")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=500.0, help="requests per second")
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    known = {case.name: case for case in [*diverse_table(), *table()]}
    with contenders() as found:
        for name, names in CASES.items():
            ports = {each: found[each].port for each in names if each in found}
            for each, port in {"the stub": found.stub, **ports}.items():
                uvloop.run(latencies(port, known[name], options.rate, 1.0))
                p50, p99 = quantiles(uvloop.run(latencies(port, known[name], options.rate, options.seconds)))
                line = {"case": name, "proxy": each, "p50_ms": round(p50, 3), "p99_ms": round(p99, 3)}
                print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
