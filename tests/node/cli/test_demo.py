"""`headrace demo`: the whole story against a node, and how a server comes into the cache."""

from __future__ import annotations

import asyncio
import hashlib
import http.server
import sys
import tarfile
import threading
import zipfile
from typing import TYPE_CHECKING

import pytest

from headrace.cli.demo import download
from headrace.cli.demo.errors import NodeError
from headrace.cli.errors import ExitCode
from tests.conftest import Http, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


async def demo(opensearch: str) -> tuple[int | None, str, str]:
    """Runs the command in a process of its own, since it takes over signals: exit status, output, messages."""
    arguments = ["demo", "--once", "--opensearch", opensearch, "--listen", f"127.0.0.1:{free_port()}"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "headrace", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_the_story(direct: Http):
    code, told, messages = await demo(direct.base)
    assert code == 0, messages
    assert "300 are in the index" in told
    assert "***@example.com" in told
    assert 'with    {"total": 34, "hits": 2, "tenants": ["north"]}' in told
    names = (await direct.get("/_cat/indices/*demo*?h=index&expand_wildcards=all")).body
    assert b"headrace-demo" not in names, "the cluster is left as it was"


async def test_without_a_cluster():
    code, _, messages = await demo("http://127.0.0.1:9")
    assert code == ExitCode.UNREACHABLE
    assert messages.startswith("error: http://127.0.0.1:9 cannot be reached: ")


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder that a server on loopback shows, and its address."""
    folder = tmp_path / "mirror"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_server_is_fetched_and_verified(mirror: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder, address = mirror
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(download, "ARCHIVE", address + "/opensearch-{version}-{machine}.tar.gz")
    name = download.ARCHIVE.format(version=download.VERSION, machine="x64").rpartition("/")[2]
    monkeypatch.setattr(download.platform, "machine", lambda: "x86_64")
    (tmp_path / "root" / "lib").mkdir(parents=True)
    (tmp_path / "root" / "lib" / "x.jar").write_bytes(b"x")
    with tarfile.open(folder / name, "w:gz") as archive:
        archive.add(tmp_path / "root", f"opensearch-{download.VERSION}")
    (folder / f"{name}.sha512").write_text("0" * 128 + f"  {name}\n")
    with pytest.raises(NodeError, match="is damaged"):
        download.server()
    digest = hashlib.sha512((folder / name).read_bytes()).hexdigest()
    (folder / f"{name}.sha512").write_text(f"{digest}  {name}\n")
    home = download.server()
    assert (home / "lib" / "x.jar").read_bytes() == b"x"
    assert sorted(path.name for path in home.parent.iterdir()) == ["fetch.lock", home.name]
    (folder / name).unlink()
    assert download.server() == home, "it is fetched once"


def test_a_server_of_an_archive_that_the_user_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("lib/x.jar", "x")
    monkeypatch.setenv(download.VARIABLE, str(tmp_path / "a.zip"))
    assert (download.server() / "lib" / "x.jar").read_text() == "x"


def test_a_server_that_cannot_be_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv(download.VARIABLE, "http://127.0.0.1:9/x.tar.gz")
    with pytest.raises(NodeError, match="--opensearch URL"):
        download.server()
    (tmp_path / "broken").write_text("no archive")
    monkeypatch.setenv(download.VARIABLE, str(tmp_path / "broken"))
    with pytest.raises(NodeError, match="cannot be unpacked"):
        download.server()
