"""Builds the JavaScript guest, `javascript.wasm` beside the engine, from packages.

QuickJS is in the sdist of quickjs-ng. The package's own part, a Python extension, is not used: only the engine's
source that it carries.
"""

from __future__ import annotations

import os
from pathlib import Path

from guests import kit
from guests.python.build import MSGSPEC, msgspec_source

HERE = Path(__file__).resolve().parent
QUICKJS = "0.17.0.2"
QUICKJS_SHA256 = "43d2e48272208721a7aaea8e3f02d4b9318f12ef20cc4f5421b59d9a470706ef"
SOURCES = ("quickjs", "libregexp", "libunicode", "dtoa")
CFLAGS = [
    "-O3", "-msimd128", "-fno-sanitize=all", "-w", "-D_GNU_SOURCE", "-D_WASI_EMULATED_SIGNAL",
    "-D_WASI_EMULATED_PROCESS_CLOCKS",
]  # fmt: skip
PARTS = ("guest", "reader", "writer")
"""Our own files in C."""
STACK = 2 << 20
"""Bytes of C stack, of which JavaScript may use what guest.c says."""


def build() -> None:
    """Makes the guest if it is not there. Raises BuildError."""
    announce = "JavaScript guest: QuickJS for WebAssembly (the first time half a minute, kept in your cache folder)"
    kit.install(
        "javascript",
        [
            *(HERE / name for name in ("build.py", "numbers.h", "record.h")),
            *(HERE / f"{part}.c" for part in PARTS),
            *kit.SHARED,
        ],
        make,
        announce,
    )


def make(guest: Path) -> str:
    """Builds the guest; gives the licences of its parts."""
    source = kit.sdist("quickjs-ng", QUICKJS, QUICKJS_SHA256) / "upstream-quickjs"
    path = {"PATH": f"{kit.compiler()}:{os.environ['PATH']}"}
    log = kit.CACHE / "javascript.log"
    log.unlink(missing_ok=True)
    kit.say(f"compiling QuickJS {QUICKJS}")
    include = [f"-I{folder}" for folder in (source, kit.SHARED_FOLDER, msgspec_source() / "src" / "msgspec")]
    with kit.folder("javascript") as folder:
        files = [*(source / f"{name}.c" for name in SOURCES), *(HERE / f"{part}.c" for part in PARTS)]
        for file in files:
            kit.run("zcc", *CFLAGS, *include, "-c", file, "-o", f"{file.stem}.o", folder=folder, log=log, **path)
        kit.run(
            "zcc", "-O2", "-mexec-model=reactor", f"-Wl,-z,stack-size={STACK}", "-s", "-o", "javascript.wasm",
            *(f"{file.stem}.o" for file in files),
            "-lwasi-emulated-signal", "-lwasi-emulated-process-clocks", "-lm",
            folder=folder, log=log, **path,
        )  # fmt: skip
        (folder / "javascript.wasm").rename(guest)
    parts = {f"QuickJS {QUICKJS}, {name}.c (the head of the file)": source / f"{name}.c" for name in SOURCES}
    parts[f"msgspec {MSGSPEC}, atof.h"] = msgspec_source() / "LICENSE"
    return kit.licences("javascript.wasm", "the guest that runs JavaScript UDFs", parts)
