"""Commands against the proxy of a test."""

from __future__ import annotations

import asyncio

import pytest

from headrace.cli import main
from tests.conftest import Http


@pytest.fixture
def run(through: Http, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """Runs a command against the proxy: exit status, output, messages."""
    monkeypatch.setenv("HEADRACE_URL", through.base)

    async def command(*arguments: str) -> tuple[int, str, str]:
        code = await asyncio.to_thread(main, list(arguments))
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return command
