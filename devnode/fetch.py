"""Brings the OpenSearch server from Maven Central into a cache folder, once per machine."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from devnode.errors import NodeError

VERSION = "3.8.0"
"""The one release whose zip is known to carry all its modules; see docs/decisions/004."""
ARTIFACT = f"org.opensearch.distribution.integ-test-zip:opensearch:{VERSION}:zip"
COPY_GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"


def cache_folder() -> Path:
    """The user's cache folder of this project."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "headrace")


def server() -> Path:
    """The unpacked server (read-only, shared by all nodes); fetched if it is not there. Raises NodeError."""
    home = cache_folder() / f"opensearch-{VERSION}"
    if home.is_dir():
        return home
    cache_folder().mkdir(parents=True, exist_ok=True)
    with (cache_folder() / "fetch.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not home.is_dir():
            _install(home)
    return home


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
    say("unpacking")
    unpacked = home.with_suffix(".new")
    shutil.rmtree(unpacked, ignore_errors=True)
    with zipfile.ZipFile(archive) as z:
        z.extractall(unpacked)
    roots = [path for path in unpacked.iterdir() if path.is_dir()]
    root = roots[0] if len(roots) == 1 and not (unpacked / "lib").is_dir() else unpacked
    root.rename(home)
    shutil.rmtree(unpacked, ignore_errors=True)
    archive.unlink()


def say(text: str) -> None:
    """A line of progress."""
    print(f"   {text}", file=sys.stderr, flush=True)
