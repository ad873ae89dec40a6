"""Parts of a reload: what may change, and how running parts adopt it."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from headrace.app import Proxy
from headrace.app import reload as module
from headrace.app.reload import merged
from headrace.ops.body_budget import BodyBudget
from headrace.registry.records_codec import Document
from headrace.registry.signatures import Signer
from headrace.settings import Settings, Sources
from headrace_pipelines.errors import InvalidError
from tests.conftest import settings_for
from tests.integration.test_nodes import Fake, asked
from tests.support.certificates import Authority

if TYPE_CHECKING:
    from pathlib import Path


def test_what_needs_a_restart_stays():
    current = Settings(upstream="http://a:1,http://b:1", tls_cert="", workers=1)
    wanted = Settings(upstream="http://b:1,http://c:1", tls_cert="x", tls_key="y", workers=3, queue=5, listen="h:1")
    settings, report = merged(current, wanted)
    assert settings == Settings(upstream="http://b:1,http://c:1", queue=5)
    assert report.changed == ["upstream", "queue"]
    assert report.restart_needed == ["listen", "tls_cert", "tls_key", "workers"]
    assert report.text == "changed: upstream, queue; a restart is needed for listen, tls_cert, tls_key, workers"
    same, nothing = merged(current, current)
    assert (same, nothing.text) == (current, "nothing has changed")


def test_a_list_of_other_nodes_may_be_another_cluster():
    settings, report = merged(Settings(upstream="http://a:1"), Settings(upstream="http://b:1"))
    assert (settings.upstream, report.restart_needed) == ("http://a:1", ["upstream"])


@pytest.mark.parametrize(
    ("before", "after", "adopted"),
    [("a", "a,b", True), ("a,b", "b", True), ("a", "b", False), ("", "b", False), ("a", "", False)],
)
def test_a_secret_of_the_registry_that_shares_nothing_with_the_present_one_needs_a_restart(
    before: str, after: str, adopted: bool
):
    _, report = merged(Settings(registry_secret=before), Settings(registry_secret=after))
    assert (report.changed if adopted else report.restart_needed) == ["registry_secret"]


async def test_room_for_bodies_grows_and_shrinks_under_those_that_wait():
    budget = BodyBudget(10, release=lambda: None)
    held = await budget.acquire(10)
    waiting = [asyncio.create_task(budget.acquire(size)) for size in (8, 10)]
    await asyncio.sleep(0)
    budget.resize(18)
    assert await waiting[0] == 8
    budget.resize(4)
    budget.release(held)
    budget.release(8)
    assert await waiting[1] == 4, "one that is larger than all there is takes all there is now"
    budget.release(4)
    assert budget.free == budget.total == 4


def test_a_signer_takes_the_secrets_of_its_last_exchange():
    document = Document(kind="pipeline", name="p", body="{}")
    signer = Signer([b"first"], ".index")
    entry = signer.sign("1", document, 1)
    signer.replace([b"second", b"first"])
    assert signer.verified("1", entry.source) == entry
    assert signer.old(entry)
    assert not signer.old(signer.sign("1", document, 2))
    signer.replace([b"second"])
    assert signer.verified("1", entry.source) == "it was signed with another registry_secret"


class Running:
    """A proxy in this process whose settings are a file."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.file = folder / "headrace.toml"
        self._base = {
            "listen": "127.0.0.1:0",
            "state_dir": str(folder),
            "registry_secret": "of the test and long enough",
        }
        self.write(**settings)
        sources = Sources(self.file, {}, {})
        self.proxy = Proxy(sources.load(), sources)

    def write(self, **settings: Any) -> None:
        self.file.write_text("".join(f"{name} = {value!r}\n" for name, value in {**self._base, **settings}.items()))


async def test_nodes_come_and_go(tmp_path: Path, session: aiohttp.ClientSession):
    nodes = [await Fake().start() for _ in range(3)]
    urls = [f"http://127.0.0.1:{node.port}" for node in nodes]
    running = Running(tmp_path, upstream=",".join(urls[:2]))
    await running.proxy.start()
    try:
        for _ in range(4):
            assert (await asked(session, running.proxy))[0] == 200
        running.write(upstream=",".join(urls[1:]))
        assert (await running.proxy.reload()).changed == ["upstream"]
        before = len(nodes[0].seen)
        nodes[0].stop()
        answers = {(await asked(session, running.proxy))[1] for _ in range(6)}
        assert answers == {f"{node.port % 10000:04d}" for node in nodes[1:]}
        assert len(nodes[0].seen) == before == 2
        running.write(upstream=urls[0])
        report = await running.proxy.reload()
        assert (report.changed, report.restart_needed) == ([], ["upstream"])
        assert (await asked(session, running.proxy))[0] == 200
    finally:
        await running.proxy.stop()
        for node in nodes[1:]:
            node.stop()


async def test_another_authority_of_the_nodes(
    tmp_path: Path, session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
):
    """Idle connections under the old certificates are not used again, and files are watched."""
    monkeypatch.setattr(module, "WATCH_SECONDS", 0.05)
    old, new = Authority(tmp_path / "old"), Authority(tmp_path / "new")
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(old.path.read_bytes())
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*old.issue("node"))
    node = await Fake().start(context)
    running = Running(tmp_path, upstream=f"https://127.0.0.1:{node.port}", upstream_ca=str(trusted))
    await running.proxy.start()
    try:
        assert (await asked(session, running.proxy))[0] == 200
        trusted.write_text("no certificate at all")
        await asyncio.sleep(0.3)
        assert (await asked(session, running.proxy))[0] == 200, "a wrong file changes nothing"
        with pytest.raises(InvalidError, match=r"\[upstream_ca\] cannot be used: .* \(set by .*headrace.toml:5\)"):
            await running.proxy.reload()
        trusted.write_bytes(new.path.read_bytes())
        for _ in range(40):
            await asyncio.sleep(0.05)
            if (await asked(session, running.proxy))[0] == 503:
                break
        assert (await asked(session, running.proxy))[0] == 503, "the node's certificate is of the old authority"
        context.load_cert_chain(*new.issue("node"))
        assert (await asked(session, running.proxy))[0] == 200
    finally:
        await running.proxy.stop()
        node.stop()


async def test_a_watched_file_does_not_bring_an_edit_of_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(module, "WATCH_SECONDS", 0.05)
    caplog.set_level("INFO")
    token = tmp_path / "token"
    token.write_text("first")
    node = await Fake().start()
    given = {"upstream": f"http://127.0.0.1:{node.port}", "admin_token_file": str(token)}
    running = Running(tmp_path, **given)
    await running.proxy.start()
    try:
        running.write(**given, queue=1)
        token.write_text("second")
        for _ in range(40):
            await asyncio.sleep(0.05)
            if running.proxy.settings.admin_token == "second":
                break
        assert (running.proxy.settings.admin_token, running.proxy.settings.queue) == ("second", 256)
        assert "reloaded; changed: admin_token" in caplog.text
        assert (await running.proxy.reload()).changed == ["queue"]
    finally:
        await running.proxy.stop()
        node.stop()


def test_a_missing_admin_token_does_not_open_a_proxy():
    settings, report = merged(Settings(admin_token="a"), Settings(admin_token=""))
    assert (settings.admin_token, report.restart_needed) == ("a", ["admin_token"])
    assert merged(Settings(), Settings(admin_token="a"))[0].admin_token == "a"


async def test_a_secret_that_changes_while_a_proxy_starts_is_adopted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "WATCH_SECONDS", 0.05)
    token = tmp_path / "token"
    token.write_text("first")
    node = await Fake().start()
    running = Running(tmp_path, upstream=f"http://127.0.0.1:{node.port}", admin_token_file=str(token))
    token.write_text("second")
    await running.proxy.start()
    try:
        for _ in range(40):
            await asyncio.sleep(0.05)
            if running.proxy.settings.admin_token == "second":
                break
        assert running.proxy.settings.admin_token == "second"
    finally:
        await running.proxy.stop()
        node.stop()


async def test_a_proxy_without_sources_reads_its_files_again(tmp_path: Path):
    node = await Fake().start()
    authority = Authority(tmp_path / "tls")
    cert, key = authority.issue("server")
    proxy = Proxy(settings_for(f"http://127.0.0.1:{node.port}", tmp_path, tls_cert=str(cert), tls_key=str(key)))
    await proxy.start()
    try:
        assert (await proxy.reload()).changed == []
        authority.issue("server")
        assert (await proxy.reload()).changed == ["tls_cert", "tls_key"]
    finally:
        await proxy.stop()
        node.stop()
