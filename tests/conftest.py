"""Shared fixtures: UDF modules, a real node for the session, proxies on it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import uuid
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import hypothesis
import pytest
from yarl import URL

from devnode import running_node
from devnode.node import free_port
from headrace.app import Proxy
from headrace.server.fast_path import FastForwarder
from headrace.settings import Settings
from headrace_pipelines._wasm import Module

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

ROOT = Path(__file__).parent.parent
# CI runs the same examples each time; at a desk every run looks for new ones. Busy machines need no deadline per example.
hypothesis.settings.register_profile("headrace", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("headrace")
SECRET = "what the proxies of a test share"
NDJSON = {"Content-Type": "application/x-ndjson"}

if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    # Under nohup: a process that a test starts would inherit that it ignores the signal.
    signal.signal(signal.SIGHUP, lambda *_: None)


@dataclass
class Answer:
    """A whole HTTP answer."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = self.json["error"]
        return error


@dataclass
class Http:
    """A plain HTTP client for one base URL; targets are sent as they are."""

    base: str
    session: aiohttp.ClientSession
    headers: dict[str, str] = field(default_factory=dict)

    async def __call__(
        self, method: str, target: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Answer:
        sent = {**self.headers, **(headers or {})}
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
        if isinstance(body, str):
            body = body.encode()
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        if isinstance(body, bytes) and len(body) > 1 << 20:
            body = io.BytesIO(body)
        url = URL(self.base + target, encoded=True)
        async with self.session.request(method, url, data=body, headers=sent, allow_redirects=False) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def get(self, target: str, **kw: Any) -> Answer:
        return await self("GET", target, **kw)

    async def put(self, target: str, body: Any = None, **kw: Any) -> Answer:
        return await self("PUT", target, body, **kw)

    async def post(self, target: str, body: Any = None, **kw: Any) -> Answer:
        return await self("POST", target, body, **kw)

    async def delete(self, target: str, body: Any = None, **kw: Any) -> Answer:
        return await self("DELETE", target, body, **kw)

    async def bulk(self, *lines: Any, target: str = "/_bulk?refresh=true") -> Answer:
        return await self.post(target, ndjson(*lines), headers=NDJSON)

    async def pipeline(self, name: str, kind: str, *stages: dict[str, Any], **fields: Any) -> Answer:
        made = await self.put(f"/_pipeline/{name}", {"type": kind, "stages": list(stages), **fields})
        assert made.status in (200, 201), made.body
        return made

    async def udf(self, name: str, code: bytes | str, **fields: Any) -> Answer:
        if isinstance(code, str):
            upload = {"language": "wat", "source": code, **fields}
        else:
            upload = {"language": "wasm", "wasm": base64.b64encode(code).decode(), **fields}
        made = await self.put(f"/_udf/{name}", upload)
        assert made.status in (200, 201), made.body
        return made

    async def index(self, name: str, **pipelines: str) -> Answer:
        settings: dict[str, Any] = {"number_of_shards": 1, "number_of_replicas": 0}
        settings |= {f"index.{kind}.default_pipeline": pipeline for kind, pipeline in pipelines.items()}
        made = await self.put(f"/{name}", {"settings": settings})
        assert made.status == 200, made.body
        return made


def ndjson(*lines: Any) -> bytes:
    """Lines of a bulk: texts as they are, everything else as JSON."""
    return b"".join((line if isinstance(line, str) else json.dumps(line)).encode() + b"\n" for line in lines)


def native(name: str, function: str, /, **parameters: Any) -> dict[str, Any]:
    """A stage that runs a built-in."""
    return {"name": name, "type": "native", "config": {"function": function, "parameters": parameters}}


def wasm(name: str, udf: str, /, **parameters: Any) -> dict[str, Any]:
    """A stage that runs a UDF."""
    return {"name": name, "type": "wasm", "config": {"udf_name": udf, "parameters": parameters}}


def without(stats: Any, *words: str) -> Any:
    """Statistics without the members in whose names one of these words is."""
    if isinstance(stats, dict):
        kept = {name: value for name, value in stats.items() if not any(word in name for word in words)}
        return {name: without(value, *words) for name, value in kept.items()}
    return [without(each, *words) for each in stats] if isinstance(stats, list) else stats


def compile_wat(text: str | bytes, **options: Any) -> Module:
    """A compiled module, without a cache on disk."""
    code = text.encode() if isinstance(text, str) else text
    return Module(code, hashlib.sha256(code).hexdigest(), **options)


@pytest.fixture(scope="session")
def node() -> Iterator[str]:
    """The URL of a real OpenSearch node."""
    with running_node() as url:
        yield url


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    automatic = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
    jar = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(auto_decompress=False, cookie_jar=jar, skip_auto_headers=automatic) as session:
        yield session


@pytest.fixture
async def direct(node: str, session: aiohttp.ClientSession) -> Http:
    """The node itself."""
    return Http(node, session)


@pytest.fixture
async def name(direct: Http) -> AsyncIterator[str]:
    """A name that no other test uses; indexes that begin with it are deleted after the test."""
    name = f"t{uuid.uuid4().hex[:12]}"
    yield name
    await direct.delete(f"/{name}*")


def settings_for(node: str, folder: Path, **changes: Any) -> Settings:
    """Settings of a proxy on a port of its own, with a registry of its own."""
    base = {
        "upstream": node,
        "listen": "127.0.0.1:0",
        "state_dir": str(folder),
        "registry_index": f".headrace-test-{uuid.uuid4().hex[:12]}",
        "registry_secret": SECRET,
        "log_level": "warning",
    }
    return Settings(**{**base, **changes})


@pytest.fixture
def settings(node: str, tmp_path: Path) -> Settings:
    return settings_for(node, tmp_path)


@pytest.fixture
async def through(settings: Settings, session: aiohttp.ClientSession) -> AsyncIterator[Http]:
    """A proxy in this process, in front of the node."""
    async with running_proxy(settings, session) as http:
        yield http


@asynccontextmanager
async def running_proxy(settings: Settings, session: aiohttp.ClientSession) -> AsyncIterator[Http]:
    """A proxy in this process; its registry goes with it."""
    proxy = Proxy(settings)
    await proxy.start()
    try:
        yield Http(proxy.url, session)
    finally:
        await proxy.stop()
        await Http(settings.upstream, session).delete(f"/{settings.registry_index}")


class ProxyProcess:
    """`headrace serve` as a process of its own."""

    def __init__(self, node: str, registry: str, folder: Path, port: int, **options: str) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.registry = registry
        arguments = {
            "upstream": node,
            "listen": f"127.0.0.1:{port}",
            "registry-index": registry,
            "registry-secret": SECRET,
            "state-dir": str(folder),
            **options,
        }
        flags = [part for name, value in arguments.items() for part in (f"--{name}", value)]
        command = [sys.executable, "-m", "headrace", "serve", *flags]
        self.log = (folder / f"proxy-{port}.log").open("wb")
        self.process = subprocess.Popen(command, cwd=ROOT, stderr=self.log, env={**os.environ, "PYTHONWARNINGS": ""})

    async def ready(self, http: Http) -> None:
        # A busy machine takes many times the second that a start needs.
        for _ in range(800):
            try:
                if (await http.get("/_proxy/health/live")).status == 200:
                    return
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)
        raise AssertionError("the proxy did not start")

    def rss(self) -> int:
        """Resident memory in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) * 1024

    def end(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(30)
        self.log.close()
        return code


@pytest.fixture
async def serve(
    node: str, session: aiohttp.ClientSession, tmp_path: Path
) -> AsyncIterator[Callable[..., tuple[ProxyProcess, Http]]]:
    """Starts proxies that share one registry; what is still running is ended after the test."""
    registry = f".headrace-test-{uuid.uuid4().hex[:12]}"
    started: list[ProxyProcess] = []

    def start(**options: str) -> tuple[ProxyProcess, Http]:
        process = ProxyProcess(options.pop("upstream", node), registry, tmp_path, free_port(), **options)
        started.append(process)
        return process, Http(process.url, session)

    yield start
    for process in started:
        process.end()
    await Http(node, session).delete(f"/{registry}")


def watch_fast_path(monkeypatch: pytest.MonkeyPatch, note: Callable[[FastForwarder, str], None]) -> None:
    """Has `note` told of every target that is forwarded without a handler."""
    forward = FastForwarder.forward

    def watched(self: FastForwarder, request: Any, client: Any) -> Any:
        forwarded = forward(self, request, client)
        if forwarded is not None:
            note(self, request.head.target)
        return forwarded

    monkeypatch.setattr(FastForwarder, "forward", watched)


async def outcome(http: Http, udf: str) -> tuple[str, Any]:
    """What a UDF makes of `{"a": 1, "s": "x"}`: ("live" | "several" | "dropped" | the type of its error, what is left)."""
    await http.pipeline(udf, "document", wasm("w", udf))
    docs = [{"_id": "1", "_source": {"a": 1, "s": "x"}}]
    answer = (await http.post(f"/_pipeline/{udf}/_execute", {"docs": docs})).json["docs"][0]
    if "error" in answer:
        return answer["error"]["type"], None
    if "docs" in answer:
        return "several", [each["_source"] for each in answer["docs"]]
    return ("dropped", None) if answer.get("filtered") else ("live", answer["doc"]["_source"])
