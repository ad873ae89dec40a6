"""A running proxy adopts other settings, secrets and certificates: all of them, or none."""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.conftest import Http, ProxyProcess, native
from tests.support.certificates import Authority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

ADMIN = {"X-Headrace-Admin-Token": "first"}


class Configured:
    """A proxy with a file of settings."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "headrace.toml"
        self.process: ProxyProcess

    def write(self, **settings: Any) -> None:
        self.file.write_text(
            "".join(f"{name} = {value!r}\n".replace("True", "true") for name, value in settings.items())
        )

    def log(self) -> str:
        return Path(self.process.log.name).read_text()

    async def logged(self, words: str) -> None:
        for _ in range(100):
            if words in self.log():
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"[{words}] is not in the log:\n{self.log()}")


@pytest.fixture
async def configured(serve: Callable[..., Any], tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    async def start(options: dict[str, str] | None = None, **settings: Any) -> tuple[Configured, Http]:
        found = Configured(tmp_path)
        found.write(**settings)
        found.process, http = serve(config=str(found.file), **(options or {}))
        if "tls_cert" not in settings:
            await found.process.ready(http)
        return found, http

    return start


async def on_many_connections(http: Http, method: str, target: str, body: Any = None, count: int = 8) -> list[Any]:
    """The same request on connections of their own, which any worker may get."""
    answers = []
    for _ in range(count):
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
            answers.append(await Http(http.base, session)(method, target, body, headers=ADMIN))
    return answers


async def test_a_reload_changes_limits_and_secrets_in_all_workers(configured: Any, name: str, tmp_path: Path):
    token = tmp_path / "token"
    token.write_text("first\n")
    given = {"admin_token_file": str(token), "max_body": "1mb", "log_level": "info", "queue": 7}
    proxy, http = await configured({"workers": "2"}, **given)
    await proxy.logged("listening")
    await asyncio.sleep(0.5)
    stage = native("v", "set", field="v", value=1)
    put = await http.put(f"/_pipeline/{name}", {"type": "document", "stages": [stage]}, headers=ADMIN)
    assert put.status == 201, put.body
    long = {"text": "x" * 5000}
    assert (await http.put(f"/{name}/_doc/1?pipeline={name}", long)).status == 201
    nothing = await http.post("/_proxy/reload", headers=ADMIN)
    assert nothing.json == {"acknowledged": True, "changed": [], "restart_needed": []}
    assert (await http.post("/_proxy/reload")).status == 403
    assert (await http.get("/_proxy/reload", headers=ADMIN)).status == 405

    proxy.write(**given | {"max_body": "2kb", "threads": 3, "document_pipeline": name, "udf_max_timeout": "50ms"})
    report = await http.post("/_proxy/reload", headers=ADMIN)
    assert report.json["changed"] == ["document_pipeline", "max_body", "udf_max_timeout"], report.body
    assert report.json["restart_needed"] == ["threads"]
    answers = await on_many_connections(http, "PUT", f"/{name}/_doc/2", long)
    assert {each.status for each in answers} == {413}
    answers = await on_many_connections(http, "PUT", f"/{name}/_doc/3", {})
    assert (await http.get(f"/{name}/_source/3")).json == {"v": 1}, "the new default pipeline has run"
    udf = {"language": "python", "source": "# @udf: timeout=1s\ndef process(doc): pass"}
    answers = await on_many_connections(http, "PUT", f"/_udf/{name}", udf, 3)
    assert all("more than this proxy allows: 0.05s" in each.error["reason"] for each in answers)

    token.write_text("second")
    proxy.process.process.send_signal(signal.SIGHUP)
    await proxy.logged("reloaded; changed: admin_token")
    await asyncio.sleep(0.5)
    assert {a.status for a in await on_many_connections(http, "DELETE", f"/_pipeline/{name}-none")} == {403}
    gone = await http.delete(f"/_pipeline/{name}-none", headers={"X-Headrace-Admin-Token": "second"})
    assert gone.status == 404
    assert "second" not in proxy.log()


async def test_a_wrong_configuration_changes_nothing(configured: Any, name: str):
    proxy, http = await configured(log_level="info", max_body="1mb")
    await http.pipeline(name, "document", native("v", "set", field="v", value=1))
    for text, words in (
        ("max_body = '2kb'\nqeue = 5", "headrace.toml:2: unknown setting [qeue]: did you mean [queue]?"),
        ("max_body = '2kb'\nqueue = 'x'", "[queue] must be a whole number, not [x] (set by"),
        ("max_body = '2kb'\nadmin_token_file = '/none'", "[admin_token] cannot read /none"),
        ("max_body =", "is not TOML"),
    ):
        proxy.file.write_text(text)
        refused = await http.post("/_proxy/reload")
        assert refused.status == 400, refused.body
        assert words in refused.error["reason"]
        proxy.process.process.send_signal(signal.SIGHUP)
        await proxy.logged(f"the reload has changed nothing: {refused.error['reason']}")
        assert (await http.put(f"/{name}/_doc/1?pipeline={name}", {"text": "x" * 5000})).status in (200, 201)


def serial_of(port: int, trusted: Path, client: tuple[Path, Path] | None = None) -> str:
    context = ssl.create_default_context(cafile=trusted)
    if client is not None:
        context.load_cert_chain(*client)
    with (
        socket.create_connection(("127.0.0.1", port), 5) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        connection.sendall(b"GET /_proxy/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200"), "TLS 1.3 refuses a client after its handshake"
        certificate = connection.getpeercert()
        assert certificate is not None
        return str(certificate["serialNumber"])


async def serving(port: int, *arguments: Any) -> str:
    for _ in range(100):
        try:
            return await asyncio.to_thread(serial_of, port, *arguments)
        except ConnectionRefusedError:
            await asyncio.sleep(0.1)
    raise AssertionError("nobody listens")


async def test_certificates_are_exchanged_under_open_connections(configured: Any, tmp_path: Path):
    authority = Authority(tmp_path / "tls")
    cert, key = authority.issue("server")
    proxy, http = await configured({"workers": "2"}, log_level="info", tls_cert=str(cert), tls_key=str(key))
    port = int(http.base.rpartition(":")[2])
    first = await serving(port, authority.path)
    trusting = ssl.create_default_context(cafile=authority.path)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)

    async def ask() -> bytes:
        writer.write(b"GET /_proxy/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]))
        return head

    assert (await ask()).startswith(b"HTTP/1.1 200")
    authority.issue("server")
    proxy.process.process.send_signal(signal.SIGHUP)
    await proxy.logged("reloaded; changed: tls_cert, tls_key")
    await asyncio.sleep(0.3)
    second = {await serving(port, authority.path) for _ in range(6)}
    assert len(second) == 1
    assert first not in second
    assert (await ask()).startswith(b"HTTP/1.1 200"), "the connection from before goes on"
    writer.close()

    cert.write_text("half of a certificate")
    proxy.process.process.send_signal(signal.SIGHUP)
    await proxy.logged("the reload has changed nothing: [tls_cert] cannot be used")
    assert {await serving(port, authority.path)} == second
    assert proxy.process.end() == 0


async def test_another_client_authority_refuses_the_clients_of_the_old_one(configured: Any, tmp_path: Path):
    server = Authority(tmp_path / "server")
    cert, key = server.issue("server")
    old, new = Authority(tmp_path / "old"), Authority(tmp_path / "new")
    trusted = tmp_path / "clients.pem"
    trusted.write_bytes(old.path.read_bytes())
    client, other = old.issue("client"), new.issue("client")
    proxy, http = await configured(log_level="info", tls_cert=str(cert), tls_key=str(key), tls_client_ca=str(trusted))
    port = int(http.base.rpartition(":")[2])
    await serving(port, server.path, client)
    resumed = ssl.create_default_context(cafile=server.path)
    resumed.load_cert_chain(*client)
    session = await asyncio.to_thread(session_of, port, resumed, None)
    assert session is not None
    trusted.write_bytes(new.path.read_bytes())
    proxy.process.process.send_signal(signal.SIGHUP)
    await proxy.logged("reloaded; changed: tls_client_ca")
    await serving(port, server.path, other)
    with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
        await asyncio.to_thread(serial_of, port, server.path, client)
    with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
        await asyncio.to_thread(session_of, port, resumed, session)


def session_of(port: int, context: ssl.SSLContext, session: ssl.SSLSession | None) -> ssl.SSLSession | None:
    """The session of a connection, which may resume another one."""
    with (
        socket.create_connection(("127.0.0.1", port), 5) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1", session=session) as connection,
    ):
        connection.sendall(b"GET /_proxy/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200")
        return connection.session


async def test_requests_in_progress_go_on(configured: Any, name: str):
    proxy, http = await configured(log_level="info")
    code = "import time\nfrom time import sleep\ndef process(doc):\n    n = 0\n    while n < 3000000:\n        n += 1\n    doc['n'] = n\n"
    slow = {"name": "s", "type": "python", "timeout": "20s", "config": {"code": code}}
    assert (
        await http.put(f"/_pipeline/{name}", {"type": "document", "stages": [slow], "timeout": "20s"})
    ).status == 201
    proxy.write(log_level="info", udf_timeout="5s")
    assert (await http.post("/_proxy/reload")).json["changed"] == ["udf_timeout"]
    running = asyncio.create_task(http.put(f"/{name}/_doc/1?pipeline={name}", {}))
    await asyncio.sleep(0.05)
    proxy.write(log_level="info", udf_timeout="1ms", pipeline_timeout="2ms", max_body="1kb", client_timeout="3s")
    report = await http.post("/_proxy/reload")
    assert report.json["changed"] == ["max_body", "client_timeout", "pipeline_timeout", "udf_timeout"]
    done = await running
    assert done.status == 201, done.body
    assert (await http.put(f"/{name}/_doc/2?pipeline={name}", {})).status != 201, "the new limit is in force"


async def test_a_rotated_folder_of_secrets_reaches_the_stages(configured: Any, name: str, tmp_path: Path):
    folder = tmp_path / "mounted"

    def mount(revision: str) -> None:
        """As Kubernetes does: a folder for each revision, and a link that is exchanged."""
        (folder / revision).mkdir(parents=True)
        (folder / revision / "secret_SALT").write_text(f"pepper-{revision}\n")
        (folder / "..new").symlink_to(revision)
        (folder / "..new").replace(folder / "..data")

    mount("..1")
    (folder / "secret_SALT").symlink_to("..data/secret_SALT")
    proxy, http = await configured(log_level="info", secrets_dir=str(folder))
    await http.pipeline(name, "document", native("v", "set", field="v", value="${secret:SALT}"))
    assert (await http.put(f"/{name}/_doc/1?pipeline={name}&refresh=true", {})).status == 201
    assert (await http.get(f"/{name}/_source/1")).json == {"v": "pepper-..1"}
    mount("..2")
    await proxy.logged("reloaded; changed: secrets_dir")
    assert (await http.put(f"/{name}/_doc/1?pipeline={name}&refresh=true", {})).status == 200
    assert (await http.get(f"/{name}/_source/1")).json == {"v": "pepper-..2"}
    stats = (await http.get(f"/_pipeline/{name}/_stats")).json
    assert stats["total_executions"] == 2, "what is compiled anew keeps its counts"
    assert "pepper" not in proxy.log()
