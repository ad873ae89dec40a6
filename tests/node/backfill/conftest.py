"""Commands against a node that a proxy stands beside: definitions from the proxy, documents past it."""

from __future__ import annotations

import asyncio

import pytest

from headrace.cli import main
from tests.conftest import Http


@pytest.fixture
def backfill(node: str, through: Http, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """Runs `headrace backfill`: exit status, output, messages."""
    monkeypatch.setenv("HEADRACE_URL", through.base)
    monkeypatch.setenv("HEADRACE_CLUSTER", node)

    async def command(*arguments: str, workers: int = 1) -> tuple[int, str, str]:
        code = await asyncio.to_thread(main, ["backfill", "--workers", str(workers), *arguments])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return command
