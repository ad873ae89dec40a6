"""`headrace udf build`: compiles a UDF with the toolchain of its language, where one is installed."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

from headrace.project.udf_file import SOURCES
from headrace_pipelines.errors import InvalidError
from headrace_pipelines.udf import stubs

if TYPE_CHECKING:
    from pathlib import Path

C_OPTIONS = ("-Os", "-nostdlib", "-Wl,--no-entry", "-Wl,-z,stack-size=65536", f"-I{stubs.FOLDER}")
RUST_OPTIONS = (
    "--edition=2024",
    "--target=wasm32-unknown-unknown",
    "--crate-type=cdylib",
    "-Copt-level=s",
    "-Cpanic=abort",
)
ASSEMBLYSCRIPT_OPTIONS = ("--optimize", "--runtime", "stub", "--use", "abort=")


class Toolchain(NamedTuple):
    """A compiler: its command, with the source and the output behind it, and changes of its environment."""

    command: list[str]
    environment: dict[str, str]


def build(source: Path, *, tinygo: bool = False) -> Path:
    """Compiles a source to `NAME.wasm` beside it. Raises InvalidError without the toolchain, or with its errors."""
    if not source.is_file():
        raise InvalidError(f"{source} is no file")
    ending = next((each for each in SOURCES if source.name.endswith(each)), "")
    if not ending:
        raise InvalidError(f"{source.name} needs no build: upload it as it is. Compiled are {', '.join(SOURCES)}")
    output = source.with_name(source.name.removesuffix(ending) + ".wasm")
    toolchain = _toolchain(ending, tinygo=tinygo)
    command = [*toolchain.command, "-o", str(output), str(source)]
    done = subprocess.run(  # noqa: S603 - the user's own compiler
        command, capture_output=True, text=True, check=False, env={**os.environ, **toolchain.environment}
    )
    if done.returncode:
        raise InvalidError(f"the compiler ends with status {done.returncode}:\n{done.stderr.strip()}")
    return output


def _toolchain(ending: str, *, tinygo: bool) -> Toolchain:
    if ending == ".c":
        return Toolchain([*_clang(), *C_OPTIONS], {})
    if ending == ".rs":
        return Toolchain(
            [_found("rustc", "install Rust and `rustup target add wasm32-unknown-unknown`"), *RUST_OPTIONS], {}
        )
    if ending == ".as.ts":
        hint = "npm install --global assemblyscript"
        return Toolchain([_found("asc", hint), *ASSEMBLYSCRIPT_OPTIONS], {})
    if tinygo:
        options = ["build", "-target=wasip1", "-buildmode=c-shared", "-no-debug", "-opt=z"]
        return Toolchain([_found("tinygo", "install TinyGo 0.34 or newer"), *options], {})
    options = ["build", "-buildmode=c-shared", "-ldflags=-s -w"]
    environment = {"GOOS": "wasip1", "GOARCH": "wasm", "GO111MODULE": "off"}
    return Toolchain([_found("go", "install Go 1.24 or newer"), *options], environment)


def _clang() -> list[str]:
    """A compiler of C for WebAssembly: zig of the system or of PyPI, else clang."""
    target = "--target=wasm32-freestanding"
    if zig := shutil.which("zig"):
        return [zig, "cc", target]
    if importlib.util.find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "cc", target]
    return [_found("clang", "pip install ziglang, which brings a compiler"), "--target=wasm32"]


def _found(program: str, hint: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise InvalidError(f"{program} was not found: {hint}")
    return path
