"""Brings the OpenSearch server from Maven Central into a cache folder, once per machine."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from headrace.cli.demo import download
from headrace.cli.demo.download import VERSION, cache_folder, say, unpack
from headrace.cli.demo.errors import NodeError

if TYPE_CHECKING:
    from pathlib import Path

ARTIFACT = f"org.opensearch.distribution.integ-test-zip:opensearch:{VERSION}:zip"
COPY_GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"


def server() -> Path:
    """The unpacked server (read-only, shared by all nodes); fetched if it is not there. Raises NodeError."""
    return download.server(_install)


def artifact(coordinates: str, pattern: str) -> Path:
    """A file of Maven Central in the downloads folder; `pattern` is its name as a glob. Raises NodeError."""
    maven = shutil.which("mvn")
    if maven is None:
        raise NodeError(
            f"Maven is needed to fetch {coordinates} and was not found: install the package `maven` "
            "(Debian: apt-get install maven), or set OPENSEARCH_URL to a running node."
        )
    downloads = cache_folder() / "downloads"
    options = [f"-Dartifact={coordinates}", f"-DoutputDirectory={downloads}"]
    command = [maven, "--batch-mode", "--quiet", COPY_GOAL, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NodeError(f"Maven could not fetch {coordinates}:\n{done.stdout[-2000:]}")
    return next(downloads.glob(pattern))


def _install(home: Path) -> None:
    say(f"fetching OpenSearch {VERSION} from Maven Central (160 MB, once per machine)")
    archive = artifact(ARTIFACT, f"opensearch-{VERSION}*.zip")
    unpack(archive, home)
    archive.unlink()
