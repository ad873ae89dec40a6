"""`python -m release [--target TRIPLE …]` writes wheels and source distributions to `dist/`.

The engine is compiled for each target with zig as its linker and C compiler, against the symbols of glibc 2.28; no
wheel needs a compiler where it is installed. auditwheel then checks what the library asks of the system.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
TARGETS = ("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu")
PLATFORM = "manylinux_2_28"
"""The oldest system: glibc 2.28, of RHEL 8 and Debian 10."""
INSIDE = (
    "python.wasm",
    "javascript.wasm",
    "python-licences.txt",
    "javascript-licences.txt",
    "licenses/LICENSE",
    "licenses/NOTICE",
    "_wasm.abi3.so",
)
"""What a wheel of the engine must carry, by how the name of the entry ends."""

PAGE = ("templates/base.html", "static/headrace.css", "static/headrace.js", "static/headrace.js.licences.txt")
"""What the wheel of the server must carry of the page, by how the name of the entry ends."""


class ReleaseError(Exception):
    """Why there is no wheel, and what to do."""


def main() -> int:
    """Builds everything; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m release", description=__doc__)
    parser.add_argument("--target", action="append", choices=TARGETS, help="a target; all of them without it")
    options = parser.parse_args()
    try:
        _require_guests()
        for target in options.target or TARGETS:
            engine(target)
        server()
        sources()
    except ReleaseError as error:
        print(f"no release: {error}", file=sys.stderr)
        return 1
    for file in sorted(DIST.iterdir()):
        print(f"{file.stat().st_size / (1 << 20):6.1f} MiB  {file.relative_to(ROOT)}")
    return 0


def _require_guests() -> None:
    """Raises ReleaseError where the guests are not built: a wheel without them runs no Python and no JavaScript."""
    folder = ROOT / "pipelines" / "headrace_pipelines"
    missing = [name for name in INSIDE if name.endswith((".wasm", ".txt")) and not (folder / name).is_file()]
    if missing:
        raise ReleaseError(f"{', '.join(missing)} not built: run `make env` first")


def engine(target: str) -> Path:
    """The wheel of `headrace-pipelines` for a target. Raises ReleaseError."""
    _require_target(target)
    before = set(DIST.glob("*.whl"))
    options = ["--release", "--locked", "--zig", "--compatibility", PLATFORM, "--target", target, "--out", str(DIST)]
    _run("maturin", "build", *options, folder=ROOT / "pipelines")
    machine = target.partition("-")[0]
    (wheel,) = DIST.glob(f"headrace_pipelines-*-{PLATFORM}_{machine}.whl")
    if wheel not in before:
        print(f"built {wheel.name}")
    _check(wheel)
    return wheel


def _require_target(target: str) -> None:
    """Adds the standard library of a target, where rustup manages the toolchain."""
    sysroot = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True, check=True).stdout.strip()
    if not Path(sysroot, "lib", "rustlib", target).is_dir():
        _run("rustup", "target", "add", target)


def _check(wheel: Path) -> None:
    """Raises ReleaseError for a wheel that lacks a part, or that asks more of a system than its name says."""
    _require_parts(wheel, INSIDE)
    shown = subprocess.run(["auditwheel", "show", str(wheel)], capture_output=True, text=True, check=True).stdout
    machine = wheel.stem.rpartition(f"{PLATFORM}_")[2]
    if f'"{PLATFORM}_{machine}"' not in " ".join(shown.split()) and not _older(shown):
        raise ReleaseError(f"{wheel.name} needs more than {PLATFORM}:\n{shown}")


def _require_parts(wheel: Path, parts: Sequence[str]) -> None:
    """Raises ReleaseError for a wheel that lacks a part."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    missing = [part for part in parts if not any(name.endswith(part) for name in names)]
    if missing:
        raise ReleaseError(f"{wheel.name} lacks {', '.join(missing)}")


def _older(shown: str) -> bool:
    """Whether auditwheel finds that the wheel runs on systems even older than the platform of its name."""
    text = " ".join(shown.split())
    return any(f'"manylinux_2_{minor}_' in text for minor in range(17, 28))


def server() -> Path:
    """The wheel of `headrace`: pure Python, for every machine."""
    _run("python", "-m", "build", "--wheel", "--outdir", str(DIST), str(ROOT / "proxy"))
    (wheel,) = DIST.glob("headrace-*-none-any.whl")
    _require_parts(wheel, PAGE)
    return wheel


def sources() -> None:
    """The source distributions."""
    _run("python", "-m", "build", "--sdist", "--outdir", str(DIST), str(ROOT / "proxy"))
    _run("maturin", "sdist", "--out", str(DIST), folder=ROOT / "pipelines")


def _run(*command: str, folder: Path = ROOT) -> None:
    """Runs a command with the tools of this environment first in the path. Raises ReleaseError."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(command, cwd=folder, env={**os.environ, "PATH": path}, check=False)
    if done.returncode:
        raise ReleaseError(f"`{' '.join(command)}` failed with status {done.returncode}")


if __name__ == "__main__":
    sys.exit(main())
