"""What TLS on the client's side costs: CPU time per request beside the same in plain text, and nginx with TLS.

`python -m benches.encrypted`. Connections are kept, so that handshakes do not count.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import ssl
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benches.__main__ import NGINX, ROOT, Contender, all_up, load
from benches.load.cases import table
from devnode.node import free_port
from headrace_pipelines import _wasm
from tests.support.certificates import Authority

CASES = {"mixed searches, passed": 2000, "mixed bulks of 10, passed": 1500, "mixed bulks of 1,000, passed": 100}
"""Cases of the table, with the requests of a round."""
ROUNDS = 3
"""Rounds, of which the medians are shown, behind a discarded one."""


def contenders(folder: Path, stub: int) -> list[tuple[Contender, ssl.SSLContext | None]]:
    """A proxy in plain text, one with TLS, and nginx with TLS, where it is installed."""
    authority = Authority(folder)
    chain, key = authority.issue("proxy")
    trust = ssl.create_default_context(cafile=str(authority.path))
    found: list[tuple[Contender, ssl.SSLContext | None]] = []
    for name, options, context in (
        ("headrace", [], None),
        ("headrace, TLS", ["--tls-cert", str(chain), "--tls-key", str(key)], trust),
    ):
        port = free_port()
        command = [sys.executable, "-m", "headrace", "serve", "--upstream", f"http://127.0.0.1:{stub}"]
        command += ["--listen", f"127.0.0.1:{port}", "--state-dir", str(folder / name), "--log-level", "warning"]
        found.append((Contender(name, subprocess.Popen([*command, *options], cwd=ROOT), port), context))
    if nginx := shutil.which("nginx"):
        port, file = free_port(), folder / "nginx.conf"
        text = NGINX.format(folder=folder, port=port, upstream=f"127.0.0.1:{stub}")
        text = text.replace(f":{port};", f":{port} ssl; ssl_certificate {chain}; ssl_certificate_key {key};")
        file.write_text(text)
        process = subprocess.Popen([nginx, "-c", str(file)], stderr=subprocess.DEVNULL)
        found.append((Contender("nginx, TLS", process, port), trust))
    return found


def main() -> None:
    """Prints a line for each case: milliseconds, and the ratio to plain text."""
    if _wasm.DEBUG_BUILD:
        sys.exit("a debug build says nothing: make env")
    stub = free_port()
    processes = [subprocess.Popen([sys.executable, "-m", "benches.load.stub", str(stub)], cwd=ROOT)]
    with tempfile.TemporaryDirectory() as state:
        found = contenders(Path(state), stub)
        processes += [contender.process for contender, _ in found]
        try:
            asyncio.run(all_up([stub, *(contender.port for contender, _ in found)]))
            for case in (each for each in table() if each.name in CASES):
                case.weight = CASES[case.name]
                times: dict[str, list[float]] = {contender.name: [] for contender, _ in found}
                for _ in range(ROUNDS + 1):
                    for contender, context in found:
                        before = contender.cpu()
                        asyncio.run(load(contender.port, case, context))
                        times[contender.name].append((contender.cpu() - before) / case.weight * 1000)
                shown = {name: round(statistics.median(each[1:]), 4) for name, each in times.items()}
                print(json.dumps({"case": case.name} | shown), flush=True)
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait(30)


if __name__ == "__main__":
    main()
