"""Several nodes of a cluster, at the network's edge: in turn, past those that are gone, and back; TLS on both sides."""

from __future__ import annotations

import asyncio
import io
import random
import ssl
import subprocess
from pathlib import Path

import aiohttp
import pytest

from devnode.node import free_port
from headrace.app import Proxy
from headrace.upstream.nodes import Nodes
from headrace.upstream.pool import ConnectionPool
from headrace_pipelines.errors import InvalidError
from tests.conftest import settings_for

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
MISSING = b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class Fake:
    """A node that answers what it is sent, or its own name, and counts; `breaks`: it closes the connection in place of so many answers."""

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.seen: list[str] = []
        self.breaks = 0
        self.server: asyncio.Server | None = None

    async def start(self, context: ssl.SSLContext | None = None) -> Fake:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=context)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    def stop(self) -> None:
        assert self.server is not None
        self.server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            except (asyncio.IncompleteReadError, ConnectionError):
                break
            method, target, _ = head.split(" ", 2)
            length = [line for line in head.split("\r\n") if line.startswith("content-length:")]
            body = await reader.readexactly(int(length[0].split(":")[1]) if length else 0)
            if target.startswith("/x"):
                self.seen.append(method)
                if self.breaks:
                    self.breaks -= 1
                    break
            said = body or b"%04d" % (self.port % 10000)
            writer.write(HEAD % (len(said), said) if target.startswith(("/x", "/?")) else MISSING)
        writer.close()


async def asked(session: aiohttp.ClientSession, proxy: Proxy, method: str = "GET") -> tuple[int, str]:
    async with session.request(method, f"{proxy.url}/x") as answer:
        return answer.status, (await answer.read()).decode()


async def test_nodes_take_turns_and_one_that_is_gone_is_passed_by(tmp_path: Path, session: aiohttp.ClientSession):
    nodes = [await Fake().start() for _ in range(2)]
    gone = free_port()
    urls = ",".join(f"http://127.0.0.1:{port}" for port in (nodes[0].port, gone, nodes[1].port))
    proxy = Proxy(settings_for(urls, tmp_path, upstream_health_interval="200ms"))
    await proxy.start()
    try:
        for method in ("GET", "POST", "PUT", "DELETE") * 3:
            assert (await asked(session, proxy, method))[0] == 200
        assert len(nodes[0].seen) >= 3
        assert len(nodes[1].seen) >= 3
        nodes[0].stop()
        back = Fake(gone)
        await back.start()
        async with asyncio.timeout(10):
            while not back.seen:
                assert (await asked(session, proxy))[0] == 200
                await asyncio.sleep(0.05)
        back.stop()
    finally:
        await proxy.stop()
        nodes[1].stop()


async def test_a_read_is_sent_again_when_its_connection_breaks_a_write_never(
    tmp_path: Path, session: aiohttp.ClientSession
):
    nodes = [await Fake().start() for _ in range(2)]
    proxy = Proxy(settings_for(",".join(f"http://127.0.0.1:{node.port}" for node in nodes), tmp_path))
    await proxy.start()
    try:
        for method, status, sent in (("GET", 200, 2), ("POST", 502, 1), ("PUT", 502, 1), ("DELETE", 502, 1)):
            for node in nodes:
                node.seen.clear()
                node.breaks = 0
            # Which of them is next is not known: the first that is asked breaks off.
            nodes[0].breaks = nodes[1].breaks = 1
            if method == "GET":
                nodes[1].breaks = 0
                while not nodes[0].seen:
                    assert (await asked(session, proxy, method))[0] == status
                assert len(nodes[1].seen) >= 1
                continue
            assert (await asked(session, proxy, method))[0] == status
            assert len(nodes[0].seen) + len(nodes[1].seen) == sent
    finally:
        await proxy.stop()
        for node in nodes:
            node.stop()


async def test_nobody_there_is_a_503(tmp_path: Path, session: aiohttp.ClientSession):
    node = await Fake().start()
    proxy = Proxy(settings_for(f"http://127.0.0.1:{node.port},http://127.0.0.1:{free_port()}", tmp_path))
    await proxy.start()
    node.stop()
    try:
        async with asyncio.timeout(10):
            while (answer := await asked(session, proxy))[0] != 503:
                await asyncio.sleep(0.05)
        assert "cannot be reached" in answer[1]
    finally:
        await proxy.stop()


def test_a_node_that_fails_waits_longer_each_time():
    nodes = Nodes(["http://a:1", "http://b:1"])
    first = nodes.pick()
    other = nodes.pick([first])
    assert other is not first
    nodes.failed(first)
    assert [nodes.pick() for _ in range(4)] == [other] * 4
    nodes.failed(other)
    nodes.failed(other)
    assert nodes.pick() is first, "all are out: the one that is back first"
    nodes.answered(other)
    assert [nodes.pick() for _ in range(4)] == [other] * 4


def test_a_look_at_the_next_node_takes_no_turn():
    nodes = Nodes(["http://a:1", "http://b:1", "http://c:1"])
    seen = []
    for _ in range(4):
        assert nodes.peek() is nodes.peek()
        seen.append(nodes.peek())
        assert nodes.pick() is seen[-1]
    assert seen[0] is seen[3]
    assert len({id(each) for each in seen}) == 3
    nodes.turn()
    assert nodes.peek() is seen[2], "one has been passed over"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, a server's and a client's certificate."""
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    openssl(
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "ca.key",
        "-out",
        "ca.pem",
        "-subj",
        "/CN=ca",
        "-days",
        "2",
    )
    for name in ("server", "client"):
        openssl(
            "req",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            f"{name}.key",
            "-out",
            f"{name}.csr",
            "-subj",
            f"/CN={name}",
        )
        (folder / "san").write_text("subjectAltName=IP:127.0.0.1")
        openssl(
            "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-out", f"{name}.pem", "-days", "2", "-extfile", "san",
        )  # fmt: skip
    return folder


async def test_tls_on_both_sides(tmp_path: Path, certificates: Path, session: aiohttp.ClientSession):
    of = {name: str(certificates / name) for name in ("ca.pem", "server.pem", "server.key", "client.pem", "client.key")}
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=of["ca.pem"])
    context.load_cert_chain(of["server.pem"], of["server.key"])
    context.verify_mode = ssl.CERT_REQUIRED
    node = await Fake().start(context)
    options = {
        "upstream_ca": of["ca.pem"], "upstream_cert": of["client.pem"], "upstream_key": of["client.key"],
        "tls_cert": of["server.pem"], "tls_key": of["server.key"], "tls_client_ca": of["ca.pem"],
    }  # fmt: skip
    proxy = Proxy(settings_for(f"https://127.0.0.1:{node.port}", tmp_path, **options))
    await proxy.start()
    mine = ssl.create_default_context(cafile=of["ca.pem"])
    try:
        assert proxy.url.startswith("https://")
        with pytest.raises(aiohttp.ClientError):
            async with session.get(f"{proxy.url}/x", ssl=mine):
                pass
        mine.load_cert_chain(of["client.pem"], of["client.key"])
        async with session.get(f"{proxy.url}/x", ssl=mine) as answer:
            assert answer.status == 200
        bare = Proxy(settings_for(f"https://127.0.0.1:{node.port}", tmp_path / "bare"))
        await bare.start()
        assert (await asked(session, bare))[0] == 503, "the node's certificate is not of a known authority"
        await bare.stop()
    finally:
        await proxy.stop()
        node.stop()


@pytest.mark.parametrize("clients", [True, False], ids=["client over TLS", "client in the clear"])
@pytest.mark.parametrize("nodes", [True, False], ids=["node over TLS", "node in the clear"])
@pytest.mark.parametrize("target", ["/x/_bulk", "/x/_mget", "/x/_close"], ids=["passed", "read whole", "streamed"])
async def test_long_bodies_with_and_without_tls(
    tmp_path: Path, certificates: Path, session: aiohttp.ClientSession, clients: bool, nodes: bool, target: str
):
    """What is encrypted on one side cannot go from socket to socket."""
    authority, cert, key = (str(certificates / name) for name in ("ca.pem", "server.pem", "server.key"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    node = await Fake().start(context if nodes else None)
    options = ({"upstream_ca": authority} if nodes else {}) | ({"tls_cert": cert, "tls_key": key} if clients else {})
    proxy = Proxy(settings_for(f"http{'s' * nodes}://127.0.0.1:{node.port}", tmp_path, **options))
    await proxy.start()
    trusting = ssl.create_default_context(cafile=authority)
    try:
        for length in (90_000, 400_000, 3_000_000) * 2:
            body = random.Random(length).randbytes(length)
            async with asyncio.timeout(5):
                answer = await session.post(f"{proxy.url}{target}", data=io.BytesIO(body), ssl=trusting)
                assert answer.status == 200
                assert await answer.read() == body
    finally:
        await proxy.stop()
        node.stop()


@pytest.mark.parametrize("encrypted", [True, False], ids=["over TLS", "in the clear"])
async def test_a_view_of_a_body_arrives_as_its_bytes(certificates: Path, encrypted: bool):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    node = await Fake().start(context if encrypted else None)
    trusting = ssl.create_default_context(cafile=certificates / "ca.pem") if encrypted else None
    connections = ConnectionPool(trusting, 5, 5)
    url = f"http{'s' * encrypted}://127.0.0.1:{node.port}"
    try:
        for length in (0, 10, 70_000, 900_000, 3_000_000):
            body = random.Random(length).randbytes(length)
            async with asyncio.timeout(5):
                view = memoryview(b"-" + body + b"-")[1:-1]
                exchange = await (await connections.send(url, "POST", "/x", b"", view)).response()
                answer = await exchange.read()
                exchange.release()
            assert answer == (body or b"%04d" % (node.port % 10000))
    finally:
        await connections.close()
        node.stop()


async def test_a_certificate_that_cannot_be_read_names_its_setting(tmp_path: Path):
    with pytest.raises(InvalidError, match="tls_cert"):
        await Proxy(settings_for("http://127.0.0.1:1", tmp_path, tls_cert="/not/there.pem")).start()
