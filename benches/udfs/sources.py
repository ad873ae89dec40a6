"""What UDFs in Python and JavaScript cost beside the same code outside: CPU per document, rounds interleaved, medians.

`python -m benches.udfs.sources [--python INTERPRETER] [--node NODE]`: the interpreter (3.13 for a fair comparison)
needs msgspec; with `--node` JavaScript is measured, beside Node.js.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from headrace_pipelines import _wasm
from headrace_pipelines.udf.catalog import Catalog

if TYPE_CHECKING:
    from collections.abc import Callable

PYTHON_UDFS = {
    "trivial": """
def process(doc, params):
    doc["title"] = doc["title"].strip().lower()
    return doc
""",
    "regular expression, counts, loop": """
import re
WORD = re.compile(r"[a-z]+")
def process(doc, params):
    counts = {}
    for word in WORD.findall(doc["body"].lower()):
        counts[word] = counts.get(word, 0) + 1
    top = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:5]
    total = 0
    for i in range(100):
        total += i * i % 7
    doc["top"] = [word for word, _ in top]
    doc["total"] = total
    return doc
""",
}
JAVASCRIPT_UDFS = {
    "trivial": """
function process(doc, params) {
  doc.title = doc.title.trim().toLowerCase();
  return doc;
}
""",
    "regular expression, counts, loop": """
const WORD = /[a-z]+/g;
function process(doc, params) {
  const counts = {};
  for (const word of doc.body.toLowerCase().match(WORD)) counts[word] = (counts[word] ?? 0) + 1;
  const top = Object.entries(counts).sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).slice(0, 5);
  let total = 0;
  for (let i = 0; i < 100; i++) total += (i * i) % 7;
  doc.top = top.map(([word]) => word);
  doc.total = total;
  return doc;
}
""",
}
DOCUMENT = {
    "title": "  Some Title Here ",
    "body": "the quick brown fox jumps over the lazy dog " * 6,
    "n": 5,
    "tags": ["a", "b"],
    "ts": "2026-01-01T00:00:00Z",
    "o": {"k": 1.5},
}
RAW = json.dumps(DOCUMENT).encode()
BATCH = 100
SANDBOXES = 50


class Native:
    """The partner process."""

    def __init__(self, interpreter: str, script: str, udfs: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [interpreter, str(Path(__file__).with_name(script))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.tell(json.dumps({"document": RAW.decode(), "udfs": udfs}))

    def tell(self, line: str) -> None:
        """Sends a line."""
        if self.process.stdin is None:
            raise RuntimeError("the partner has no input")
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def round(self, name: str, count: int) -> float:
        """Microseconds of CPU per document."""
        self.tell(f"{count} {name}")
        if self.process.stdout is None:
            raise RuntimeError("the partner has no output")
        return float(self.process.stdout.readline()) / 1000


def main() -> None:
    """Runs the table and prints it."""
    parser = argparse.ArgumentParser(prog="python -m benches.udfs.sources", description=__doc__)
    parser.add_argument("--python", default=sys.executable, help="the native interpreter")
    parser.add_argument("--node", help="measure JavaScript too, beside this Node.js")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    if _wasm.DEBUG_BUILD:
        sys.exit("the engine is a debug build; its timings say nothing")
    with tempfile.TemporaryDirectory() as folder:
        catalog = Catalog(Path(folder))
        measure(catalog.guest("python"), Native(options.python, "native.py", PYTHON_UDFS), PYTHON_UDFS, options.rounds)
        if options.node:
            partner = Native(options.node, "native.js", JAVASCRIPT_UDFS)
            measure(catalog.guest("javascript"), partner, JAVASCRIPT_UDFS, options.rounds)


def measure(module: _wasm.Module, native: Native, udfs: dict[str, str], count: int) -> None:
    """The rows of one language."""
    command = [str(native.process.args[0]), "--version"]  # type: ignore[index]
    version = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    print(f"{module.abi}; document of {len(RAW)} bytes; native: {version}")
    for name, source in udfs.items():
        udf = bind(module, source)
        ways: dict[str, Callable[[], float]] = {
            f"native {version.split()[-1]}": partial(native.round, name, 2000),
            f"batches of {BATCH}": partial(batches, udf, 20),
            "one document a call": partial(single, udf, 500),
        }
        rounds = [{way: run() for way, run in ways.items()} for _ in range(count + 1)]
        report(name, {way: [each[way] for each in rounds[1:]] for way in ways})
    made = sandboxes(module, udfs["trivial"])
    print("a new sandbox, UDF loaded: {:.2f} ms, {:.1f} MB of memory of its own".format(*made))
    native.process.terminate()


def bind(module: _wasm.Module, source: str) -> _wasm.Udf:
    """A UDF ready to run."""
    config = json.dumps({"source": source}).encode()
    return module.bind(config, timeout_ms=500, memory=128 << 20, stack=8 << 20)


def batches(udf: _wasm.Udf, count: int) -> float:
    """Microseconds of CPU per document in bulks of `BATCH`."""
    body = b"".join(b'{"index":{}}\n' + RAW + b"\n" for _ in range(BATCH))
    made = [_wasm.Bulk(body).batch([0]) for _ in range(count)]
    start = time.thread_time_ns()
    for batch in made:
        run(udf, batch)
    return (time.thread_time_ns() - start) / count / BATCH / 1000


def single(udf: _wasm.Udf, count: int) -> float:
    """Microseconds of CPU per document, each in a call of its own."""
    start = time.thread_time_ns()
    for _ in range(count):
        run(udf, _wasm.Batch.of("document", RAW))
    return (time.thread_time_ns() - start) / count / 1000


def run(udf: _wasm.Udf, batch: _wasm.Batch) -> None:
    """Runs a stage; a failure ends the benchmark."""
    if batch.run_udf(udf, _wasm.Deadline(20), abort=True, pipeline="p", stage="s").failures:
        raise RuntimeError("the UDF failed")


def sandboxes(module: _wasm.Module, source: str) -> tuple[float, float]:
    """Milliseconds of wall clock and resident megabytes for each of many."""
    bind(module, source).warm_up()  # The first one makes the image that the others map.
    made = [bind(module, source) for _ in range(SANDBOXES)]
    before, start = resident(), time.perf_counter()
    for udf in made:
        udf.warm_up()
    return (time.perf_counter() - start) / SANDBOXES * 1000, (resident() - before) / SANDBOXES


def resident() -> float:
    """Megabytes of this process alone: of the interpreter's image, which sandboxes share, what they wrote to."""
    rollup = Path("/proc/self/smaps_rollup").read_text()
    line = next(line for line in rollup.splitlines() if line.startswith("Private_Dirty:"))
    return int(line.split()[1]) * 1024 / 1e6


def report(name: str, found: dict[str, list[float]]) -> None:
    """Medians, spread, and the ratio to the native interpreter, which is first."""
    print(name)
    partner = statistics.median(next(iter(found.values())))
    for way, values in found.items():
        median = statistics.median(values)
        ratio = "" if median == partner else f"   ratio {median / partner:.2f}"
        print(f"   {way:<20} {median:8.2f} us CPU  ({min(values):.2f} to {max(values):.2f}){ratio}", flush=True)


if __name__ == "__main__":
    main()
