"""`headrace reload` against a proxy."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from headrace.app import Proxy
from headrace.cli import main
from headrace.cli.errors import ExitCode
from headrace.settings import Sources
from tests.conftest import settings_for

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


async def test_a_reload_prints_what_has_changed(node: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    base = settings_for(node, tmp_path)
    file = tmp_path / "headrace.toml"
    sources = Sources(file, {}, {name: getattr(base, name) for name in ("upstream", "listen", "state_dir")})
    file.write_text("")
    proxy = Proxy(sources.load(), sources)
    await proxy.start()

    async def run(*arguments: str) -> tuple[int, Any, str]:
        code = await asyncio.to_thread(main, ["reload", "--url", proxy.url, *arguments])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    try:
        code, out, err = await run()
        assert (code, out, err) == (ExitCode.OK, "", "nothing has changed\n")
        file.write_text("queue = 5\nthreads = 7\n")
        code, out, _ = await run("-o", "json")
        assert code == ExitCode.OK
        assert json.loads(out) == {"acknowledged": True, "changed": ["queue"], "restart_needed": ["threads"]}
        code, out, _ = await run()
        assert out.split() == ["SETTING", "EFFECT", "threads", "needs", "a", "restart"]
        file.write_text("qeue = 5\n")
        code, _, err = await run()
        assert code == ExitCode.FAILED
        assert "headrace.toml:1: unknown setting [qeue]: did you mean [queue]?" in err
    finally:
        await proxy.stop()
