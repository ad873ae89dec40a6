"""opensearch-go gives the same answers direct and through."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from devnode.fetch import cache_folder
from tests.conftest import Http

pytestmark = pytest.mark.skipif(shutil.which("go") is None, reason="Go is not on this machine")


@pytest.fixture(scope="module")
def story() -> str:
    """The program, built; Go keeps its libraries and what it compiled."""
    program = cache_folder() / "go-story"
    cache_folder().mkdir(parents=True, exist_ok=True)
    command = ["go", "build", "-o", str(program), "."]
    subprocess.run(command, check=True, capture_output=True, timeout=280, cwd=Path(__file__).with_name("go"))
    return str(program)


async def told(*command: str) -> list[str]:
    """What the story tells."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "OPENSEARCH_GO_ROUTER": "false"}
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode().splitlines()


async def test_opensearch_go_gets_the_same_answers(story: str, through: Http, direct: Http, name: str):
    expected = await told(story, direct.base, name)
    assert len(expected) == 16
    assert await told(story, through.base, name) == expected
    assert await told(story, through.base, name, "sniff") == expected
