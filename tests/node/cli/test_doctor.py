"""`headrace doctor` against real proxies and a real node: what is well, what is wrong, and the zip without secrets."""

from __future__ import annotations

import asyncio
import json
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from headrace.cli import main
from headrace.cli.doctor import machine
from headrace.cli.doctor.finding import Level
from headrace.settings import Settings
from tests.conftest import Http, free_port, native, running_proxy, settings_for

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "a-secret-that-is-long-enough"


@pytest.fixture
def examine(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """Runs the command: exit status, and the findings by check."""

    async def command(*arguments: str) -> tuple[int, dict[str, list[dict[str, Any]]]]:
        code = await asyncio.to_thread(main, ["doctor", "-o", "json", *arguments])
        found: dict[str, list[dict[str, Any]]] = {}
        for finding in json.loads(capsys.readouterr().out):
            found.setdefault(finding["check"], []).append(finding)
        return code, found

    return command


async def test_a_host_a_cluster_and_a_proxy_that_are_well(
    examine, node: str, through: Http, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HEADRACE_CURSOR_SECRET", SECRET)
    (tmp_path / "h.toml").write_text(f'upstream = "{node}"\nadmin_token = "{SECRET}"\nstate_dir = "{tmp_path}"\n')
    bundle = tmp_path / "report.zip"
    await through.pipeline(name, "document", native("said", "fail", message=f"value {SECRET}"))
    await through.index(name, document=name)
    assert (await through.put(f"/{name}/_doc/1", {"a": 1})).status == 400
    assert SECRET in (await through.get("/_pipeline/_stats")).body.decode()
    code, found = await examine("--config", str(tmp_path / "h.toml"), "--url", through.base, "--bundle", str(bundle))
    levels = {finding["level"] for findings in found.values() for finding in findings}
    assert (code, levels) == (0, {"ok", "warning"})
    assert found["security plugin"][0]["level"] == "warning"
    assert {"node", "clock", "state_dir", "proxy", "version", "pipelines", "attachments"} <= set(found)
    with zipfile.ZipFile(bundle) as archive:
        texts = {name: archive.read(name).decode() for name in archive.namelist()}
    assert {"findings.json", "settings.json", "proxy-1/info.json"} <= set(texts)
    assert not [name for name, text in texts.items() if SECRET in text]
    assert json.loads(texts["settings.json"])["admin_token"] == "(set)"


async def test_what_is_wrong_has_a_remedy(examine, node: str, tmp_path: Path):
    (tmp_path / "file").write_text("")
    (tmp_path / "h.toml").write_text(
        f'upstream = "{node},http://127.0.0.1:9"\nlisten = "0.0.0.0:1"\nstate_dir = "{tmp_path}/file/below"\n'
        'cursor_secret = "short"\n'
    )
    code, found = await examine("--config", str(tmp_path / "h.toml"))
    assert code == 1
    assert [finding["level"] for finding in found["node"]] == ["ok", "error"]
    assert found["state_dir"][0]["level"] == "error"
    assert found["cursor_secret"][0]["level"] == "warning"
    assert found["listener"][0]["level"] == "warning"
    assert all(f["remedy"] for findings in found.values() for f in findings if f["level"] != "ok")


async def test_two_proxies_with_different_secrets(examine, session, node: str, tmp_path: Path):
    first = settings_for(node, tmp_path / "a", cursor_secret=SECRET)
    second = settings_for(node, tmp_path / "b", cursor_secret=SECRET + "x")
    async with running_proxy(first, session) as first_proxy, running_proxy(second, session) as second_proxy:
        code, found = await examine("--url", first_proxy.base, "--url", second_proxy.base)
        assert code == 1
        assert found["cursor_secret"][0]["level"] == "error"


async def test_a_template_that_is_shadowed(examine, through: Http, name: str):
    await through.pipeline(name, "document", native("s", "set", field="a", value=1))
    settings = {"index.document.default_pipeline": name}
    low = {"index_patterns": [f"{name}-*"], "priority": 1, "template": {"settings": settings}}
    await through.put(f"/_index_template/{name}-low", low)
    await through.put(f"/_index_template/{name}-high", {"index_patterns": [f"{name}-x*"], "priority": 2})
    code, found = await examine("--url", through.base)
    assert code == 0
    assert f"{name}-high comes before it" in found["templates"][0]["found"]
    await through.delete(f"/_index_template/{name}-low")
    await through.delete(f"/_index_template/{name}-high")


async def test_a_proxy_that_does_not_answer(examine):
    code, found = await examine("--url", f"http://127.0.0.1:{free_port()}")
    assert code == 1
    assert "cannot be reached" in found["proxy"][0]["found"]


@pytest.mark.parametrize(
    ("limits", "check", "level"),
    [
        ({machine.resource.RLIMIT_AS: (1 << 32, 1 << 32)}, "address space", Level.ERROR),
        ({machine.resource.RLIMIT_NOFILE: (256, 256)}, "open files", Level.WARNING),
    ],
)
def test_limits_of_the_process(monkeypatch: pytest.MonkeyPatch, limits, check: str, level: Level):
    real = machine.resource.getrlimit
    monkeypatch.setattr(machine.resource, "getrlimit", lambda kind: limits.get(kind) or real(kind))
    found = {finding.check: finding for finding in machine.examine(Settings())}
    assert found[check].level is level
