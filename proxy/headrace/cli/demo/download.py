"""Brings an OpenSearch server into the user's cache folder, once per machine."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import sys
import tarfile
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from headrace.cli.demo.errors import NodeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import Progress

VERSION = "3.8.0"
"""The release of OpenSearch that the demo and the tests run."""
ARCHIVE = "https://artifacts.opensearch.org/releases/core/opensearch/{version}/opensearch-min-{version}-linux-{machine}.tar.gz"
"""The smallest distribution, without plugins. Its SHA-512 is beside it."""
VARIABLE = "HEADRACE_OPENSEARCH_ARCHIVE"
"""The environment variable with the address or the path of another archive, for machines that reach a mirror only."""
MACHINES = {"x86_64": "x64", "aarch64": "arm64"}
CHUNK = 1 << 18
"""Bytes between two steps of the progress bar."""


def cache_folder() -> Path:
    """The user's cache folder of this product."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "headrace")


def server(install: Callable[[Path], None] | None = None) -> Path:
    """The unpacked server (read-only, shared by all nodes); fetched if it is not there. Raises NodeError.

    `install` brings it into the folder that it is given, in place of a download.
    """
    home = cache_folder() / f"opensearch-{VERSION}"
    if home.is_dir():
        return home
    cache_folder().mkdir(parents=True, exist_ok=True)
    with (cache_folder() / "fetch.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not home.is_dir():
            (install or _install)(home)
    return home


def _install(home: Path) -> None:
    given = os.environ.get(VARIABLE, "")
    address = given or ARCHIVE.format(version=VERSION, machine=MACHINES.get(platform.machine(), "x64"))
    if "://" not in address:
        unpack(Path(address), home)
        return
    archive = cache_folder() / f"download.{os.getpid()}"
    try:
        found = _fetch(address, archive)
        if not given:
            _verify(address, found)
        unpack(archive, home)
    finally:
        archive.unlink(missing_ok=True)


def _fetch(address: str, archive: Path) -> str:
    """Downloads a file with a progress bar; returns its SHA-512. Raises NodeError."""
    from rich.console import Console
    from rich.progress import Progress

    try:
        with (
            urllib.request.urlopen(address, timeout=30) as answer,
            archive.open("wb") as file,
            Progress(console=Console(stderr=True)) as bar,
        ):
            return _copy(answer, file, bar, int(answer.headers.get("Content-Length") or 0))
    except (OSError, ValueError) as error:
        raise NodeError(
            f"OpenSearch {VERSION} cannot be fetched from {address}: {getattr(error, 'reason', error)}. Name a running "
            f"cluster with --opensearch URL, or an archive in {VARIABLE}."
        ) from None


def _copy(source: BinaryIO, file: BinaryIO, bar: Progress, total: int) -> str:
    task = bar.add_task(f"   fetching OpenSearch {VERSION}", total=total or None)
    digest = hashlib.sha512()
    while chunk := source.read(CHUNK):
        file.write(chunk)
        digest.update(chunk)
        bar.advance(task, len(chunk))
    return digest.hexdigest()


def _verify(address: str, found: str) -> None:
    """Raises NodeError where the archive is not the one whose digest its publisher states."""
    try:
        with urllib.request.urlopen(f"{address}.sha512", timeout=30) as answer:
            stated = answer.read(1024).decode().split()[0]
    except (OSError, ValueError, IndexError) as error:
        raise NodeError(f"the digest of {address} cannot be read: {error}") from None
    if stated != found:
        raise NodeError(f"{address} is damaged: its SHA-512 is {found}, not {stated}")


def unpack(archive: Path, home: Path) -> None:
    """Unpacks a server out of a zip or a tar as `home`. Raises NodeError."""
    say("unpacking")
    unpacked = home.with_suffix(".new")
    shutil.rmtree(unpacked, ignore_errors=True)
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as packed:
                packed.extractall(unpacked)
        else:
            with tarfile.open(archive) as packed_tar:
                packed_tar.extractall(unpacked, filter="data")
    except (OSError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise NodeError(f"{archive} cannot be unpacked: {error}") from None
    roots = [path for path in unpacked.iterdir() if path.is_dir()]
    root = roots[0] if len(roots) == 1 and not (unpacked / "lib").is_dir() else unpacked
    root.rename(home)
    shutil.rmtree(unpacked, ignore_errors=True)


def say(text: str) -> None:
    """Prints a line of progress."""
    print(f"   {text}", file=sys.stderr, flush=True)
