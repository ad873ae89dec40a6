"""The partner of `benches.udfs.sources`: the same UDF in a native interpreter, between msgspec's decode and encode.

Reads `count name` lines, answers nanoseconds of CPU per document. It runs in the interpreter under comparison, which
needs msgspec and nothing else of ours.
"""

from __future__ import annotations

import json
import sys
import time

import msgspec


def main() -> None:
    """Serves one line after another."""
    setup = json.loads(sys.stdin.readline())
    raw = setup["document"].encode()
    functions = {}
    for name, source in setup["udfs"].items():
        module: dict[str, object] = {}
        exec(source, module)  # noqa: S102 (the benchmark's own UDFs)
        functions[name] = module["process"]
    encode, decode = msgspec.json.Encoder().encode, msgspec.json.Decoder().decode
    for line in sys.stdin:
        count, _, name = line.rstrip().partition(" ")
        process = functions[name]
        parameters: dict[str, object] = {}
        start = time.thread_time_ns()
        for _ in range(int(count)):
            encode(process(decode(raw), parameters))  # type: ignore[operator]
        print((time.thread_time_ns() - start) / int(count), flush=True)


if __name__ == "__main__":
    main()
