"""opensearch-go gives the same answers direct and through, and passes as much of its own integration suite."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from headrace.cli.demo.download import cache_folder
from tests.clients.identity import attach_identity
from tests.clients.programs import output
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
    return (await output(*command, OPENSEARCH_GO_ROUTER="false")).splitlines()


async def test_opensearch_go_gets_the_same_answers(story: str, through: Http, direct: Http, name: str):
    expected = await told(story, direct.base, name)
    assert len(expected) == 16
    assert await told(story, through.base, name) == expected
    assert await told(story, through.base, name, "sniff") == expected


@pytest.fixture(scope="module")
def suite(story: str) -> Path:
    """The client's own source with its tests, as its module has them, in a copy that may be built in."""
    where = Path(__file__).with_name("go")
    command = ["go", "list", "-m", "-f", "{{.Dir}}", "github.com/opensearch-project/opensearch-go/v4"]
    module = Path(subprocess.run(command, check=True, capture_output=True, text=True, cwd=where).stdout.strip())
    copy = cache_folder() / module.name
    if not copy.exists():
        made = copy.with_suffix(".new")
        shutil.rmtree(made, ignore_errors=True)
        shutil.copytree(module, made, copy_function=shutil.copyfile)
        for folder in (made, *(path for path in made.rglob("*") if path.is_dir())):
            folder.chmod(0o755)
        made.rename(copy)
    return copy


async def passed(suite: Path, url: str) -> set[str]:
    """Names of the integration tests that pass against a URL."""
    command = ["go", "test", "-tags=integration core", "-count=1", "-p=1", "-json", "./opensearchapi/..."]
    environment = {
        **os.environ,
        "OPENSEARCH_URL": url,
        "SECURE_INTEGRATION": "false",
        # Answers may have members that the client does not know; that is between it and the node.
        "OPENSEARCH_GO_SKIP_JSON_COMPARE": "1",
    }
    process = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=suite, env=environment, limit=1 << 24
    )
    out, err = await process.communicate()
    events = [json.loads(line) for line in out.splitlines()]
    names = {f"{e['Package']} {e['Test']}" for e in events if e["Action"] == "pass" and "Test" in e}
    assert len(names) > 700, err.decode()
    return names


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("identity", [False, True], ids=["no-pipelines", "identity-pipelines"])
async def test_its_own_suite_passes_as_much(suite: Path, through: Http, direct: Http, name: str, identity: bool):
    if identity:
        await attach_identity(through, name)
    assert await passed(suite, through.base) == await passed(suite, direct.base)
