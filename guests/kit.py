"""What the builds of the guests share: a cache by content, packages by their SHA-256, ziglang's clang, licences."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PIPELINES = Path(__file__).resolve().parent.parent / "pipelines" / "headrace_pipelines"
"""Where the guests go: part of the wheel."""
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headrace" / "guest"
SHARED_FOLDER = Path(__file__).resolve().parent / "shared"
SHARED = sorted(SHARED_FOLDER.glob("*.h"))
"""What both guests have of C."""
KEPT = 3
"""Guests of earlier inputs that stay in the cache."""


class BuildError(Exception):
    """Why there is no guest, and what to do."""


def say(text: str) -> None:
    """A line of progress."""
    print(f"   {text}", flush=True)


def install(language: str, inputs: list[Path], make: Callable[[Path], str], announce: str) -> None:
    """Puts the guest of `inputs` and its licences beside the engine: out of the cache, else as `make` makes them.

    `make` writes the guest to the path that it is given, and returns the licences of its parts. Raises BuildError.
    """
    with _locked(language):
        guest = _made(language, [*inputs, Path(__file__)], make, announce)
    for made, name in ((guest, f"{language}.wasm"), (guest.with_suffix(".txt"), f"{language}-licences.txt")):
        output = PIPELINES / name
        if not output.is_file() or digest(output) != digest(made):
            temporary = output.with_suffix(f".{os.getpid()}.tmp")
            shutil.copyfile(made, temporary)
            temporary.replace(output)


@contextlib.contextmanager
def _locked(language: str) -> Iterator[None]:
    """One build of a guest at a time on this machine; different guests are built side by side."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{language}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _made(language: str, inputs: list[Path], make: Callable[[Path], str], announce: str) -> Path:
    key = hashlib.sha256(b"".join(path.read_bytes() for path in inputs)).hexdigest()[:16]
    guest = CACHE / f"{language}-{key}.wasm"
    if guest.is_file() and guest.with_suffix(".txt").is_file():
        return guest
    print(f"== {announce}", flush=True)
    started = time.monotonic()
    guest.with_suffix(".txt").write_text(make(guest))
    say(f"done in {time.monotonic() - started:.0f} s: {guest.stat().st_size / (1 << 20):.1f} MiB")
    for old in sorted(CACHE.glob(f"{language}-*.wasm"), key=lambda p: p.stat().st_mtime)[:-KEPT]:
        old.unlink()
        old.with_suffix(".txt").unlink(missing_ok=True)
    return guest


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def run(*command: str | Path, folder: Path, log: Path, **environment: str) -> None:
    """Runs a command; its output goes to a log, whose end is shown if it fails."""
    with log.open("ab") as file:
        done = subprocess.run(
            [str(part) for part in command],
            cwd=folder, env={**os.environ, **environment}, stdout=file, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
    if done.returncode != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise BuildError(f"[{command[0]}] ended with status {done.returncode}; the end of {log}:\n{tail}")


def compiler() -> Path:
    """A folder with `zcc`, `zar` and `zranlib`: ziglang's clang for wasm32-wasi."""
    folder = CACHE / "bin"
    folder.mkdir(exist_ok=True)
    commands = {"zcc": "cc -target wasm32-wasi -Wno-date-time", "zar": "ar", "zranlib": "ranlib"}
    for name, command in commands.items():
        script = folder / name
        written = folder / f"{name}.{os.getpid()}.{threading.get_ident()}"
        written.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ziglang {command} "$@"\n')
        written.chmod(0o755)
        written.replace(script)
    return folder


def unpack(tarball: Path, folder: Path) -> None:
    """The tarball's one folder as `folder`."""
    with tarfile.open(tarball) as archive:
        archive.extractall(folder.with_suffix(".unpacked"), filter="tar")
    (inner,) = folder.with_suffix(".unpacked").iterdir()
    inner.rename(folder)
    folder.with_suffix(".unpacked").rmdir()


@contextlib.contextmanager
def folder(name: str) -> Iterator[Path]:
    """A new folder in the cache, for one build."""
    made = CACHE / f"{name}.{os.getpid()}.tmp"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    yield made
    shutil.rmtree(made)


def sdist(name: str, version: str, sha256: str) -> Path:
    """The unpacked source distribution of a package. Raises BuildError if it is not the one of this SHA-256."""
    folder = CACHE / f"{name}-{version}"
    if folder.is_dir():
        return folder
    say(f"fetching the sdist of {name} {version}")
    log = CACHE / f"{name}.log"
    log.unlink(missing_ok=True)
    pip = CACHE / "pip"
    if not (pip / "bin" / "pip").is_file():
        run(sys.executable, "-m", "venv", pip, folder=CACHE, log=log)
    requirement = CACHE / f"{name}.txt"
    requirement.write_text(f"{name}=={version} --hash=sha256:{sha256}\n")
    run(
        pip / "bin" / "pip", "download", "--no-deps", "--no-binary", ":all:", "--require-hashes",
        "-r", requirement, "-d", CACHE, folder=CACHE, log=log,
    )  # fmt: skip
    unpack(CACHE / f"{name.replace('-', '_')}-{version}.tar.gz", folder)
    return folder


def licences(module: str, purpose: str, parts: dict[str, Path]) -> str:
    """The licences of all that is linked into a guest, from the sources that it is built of.

    `parts` by name; those of the C library are added. Of a C file it is the comment at its head.
    """
    # A module of the build's own environment: the machine's Python may start this script to say what is missing.
    import ziglang

    zig = Path(ziglang.__file__).parent
    libc = zig / "lib" / "libc"
    parts = parts | {
        "wasi-libc": libc / "wasi" / "LICENSE",
        "wasi-libc: Apache License with LLVM exceptions": libc / "wasi" / "LICENSE-APACHE-LLVM",
        "wasi-libc: MIT License": libc / "wasi" / "LICENSE-MIT",
        "wasi-libc: cloudlibc": libc / "wasi" / "libc-bottom-half" / "cloudlibc" / "LICENSE",
        "musl (in wasi-libc)": libc / "musl" / "COPYRIGHT",
        "Zig's compiler-rt": zig / "LICENSE",
    }
    rule = "=" * 100
    texts = [f"Licences of the parts of {module}, {purpose}.\n"]
    for name, path in parts.items():
        text = path.read_text(errors="replace")
        if path.suffix in (".c", ".h"):
            text = text[: text.index("*/") + 2]
        texts.append(f"{rule}\n{name}\n{rule}\n\n{text.strip()}\n")
    return "\n".join(texts)
