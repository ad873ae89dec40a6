"""Java: opensearch-java and the low-level client give the same answers direct and through."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path

import pytest

from headrace.cli.demo.download import cache_folder
from tests.clients.programs import output
from tests.conftest import Http

STORY = Path(__file__).with_name("java")
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
pytestmark = pytest.mark.skipif(
    shutil.which("javac") is None or shutil.which("mvn") is None, reason="no JDK or no Maven on this machine"
)


@pytest.fixture(scope="module")
def program() -> str:
    """The class path of the story, compiled; its libraries are kept in the cache."""
    folder = cache_folder() / "java-clients"
    folder.mkdir(parents=True, exist_ok=True)
    pom = (STORY / "pom.xml").read_text()
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / "done"
        if not done.exists() or done.read_text() != pom:
            command = ["mvn", "-q", "-B", "-f", str(STORY / "pom.xml"), COPY, f"-DoutputDirectory={folder / 'lib'}"]
            shutil.rmtree(folder / "lib", ignore_errors=True)
            subprocess.run(command, check=True, capture_output=True, timeout=280)
            done.write_text(pom)
        classes = folder / "classes"
        compile_ = ["javac", "-nowarn", "-cp", f"{folder / 'lib'}/*", "-d", str(classes), str(STORY / "Story.java")]
        subprocess.run(compile_, check=True, capture_output=True, timeout=280)
    return f"{classes}:{folder / 'lib'}/*"


async def told(program: str, *arguments: str) -> list[str]:
    """What the story tells."""
    command = ["java", "-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8", "-cp", program, "Story", *arguments]
    return (await output(*command)).splitlines()


async def test_java_clients_get_the_same_answers(program: str, through: Http, direct: Http, name: str):
    expected = await told(program, direct.base, name)
    assert len(expected) == 23
    assert await told(program, through.base, name) == expected
    assert await told(program, through.base, name, "sniff") == expected
