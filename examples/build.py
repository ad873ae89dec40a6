"""Compiles the example UDFs: C by PyPI's `ziglang`, Rust and Go where they are installed, WAT as it is."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from headrace_pipelines.udf import stubs

UDFS = Path(__file__).parent / "udfs"
RUST_TARGET = "wasm32-unknown-unknown"


def cache_folder() -> Path:
    """Where compiled examples are kept, by the content of their sources."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base, "headrace", "examples")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def module(name: str) -> bytes:
    """The module of `udfs/<name>`; WAT is text that Headrace takes as it is."""
    source = UDFS / name
    match source.suffix:
        case ".wat":
            return source.read_bytes()
        case ".c":
            return compiled(source, compile_c)
        case ".rs":
            return compiled(source, compile_rust)
        case ".go":
            return compiled(source, compile_go)
    raise ValueError(f"no compiler for {name}")


def compiled(source: Path, compiler: object) -> bytes:
    """The compiled source, from the cache if it has been compiled before."""
    headers = sorted({stubs.FOLDER / "headrace.h", *source.parent.glob("*.h")})
    text = source.read_bytes() + b"".join(header.read_bytes() for header in headers)
    made = cache_folder() / f"{source.stem}-{hashlib.sha256(text).hexdigest()[:16]}.wasm"
    if not made.is_file():
        temporary = made.with_name(f"{made.name}.{os.getpid()}")
        compiler(source, temporary)  # type: ignore[operator]
        temporary.replace(made)
    return made.read_bytes()


def compile_c(source: Path, made: Path) -> None:
    """Freestanding C: no libc, a few hundred bytes."""
    target = ["--target=wasm32-freestanding", "-Os", "-nostdlib", "-Wl,--no-entry", "-Wl,-z,stack-size=65536"]
    command = [sys.executable, "-m", "ziglang", "cc", *target, f"-I{stubs.FOLDER}", "-o", str(made), str(source)]
    run(command)


def compile_rust(source: Path, made: Path) -> None:
    """Rust without std."""
    options = ["--edition=2024", "--crate-type=cdylib", "-Copt-level=s", "-Cpanic=abort"]
    run(["rustc", f"--target={RUST_TARGET}", *options, "-o", str(made), str(source)])


def compile_go(source: Path, made: Path) -> None:
    """Go for WASI, as a library with exported functions (Go 1.24 or newer)."""
    command = ["go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", str(made), str(source)]
    run(command, {**os.environ, "GOOS": "wasip1", "GOARCH": "wasm", "GO111MODULE": "off"})


def rust_target_installed() -> bool:
    """Whether this machine can compile Rust to WebAssembly."""
    if shutil.which("rustc") is None:
        return False
    asked = subprocess.run(
        ["rustc", "--print", "target-libdir", "--target", RUST_TARGET], capture_output=True, text=True, check=False
    )
    return asked.returncode == 0 and Path(asked.stdout.strip()).is_dir()


def run(command: list[str], environment: dict[str, str] | None = None) -> None:
    """Runs a compiler; its words are the error."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")
