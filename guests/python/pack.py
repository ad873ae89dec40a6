"""Run by a Python of the guest's version: `frozen_guest.h` and `stdlib.zip`, the same bytes each time.

Arguments: the folders of CPython's, msgspec's and tzdata's sources, and where to write.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import marshal
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
UNCHECKED_HASH = 1
"""The flag of a .pyc that is never compared with its source (PEP 552)."""
FOLDERS_LEFT_OUT = {
    "test",
    "tests",
    "idlelib",
    "tkinter",
    "turtledemo",
    "ensurepip",
    "lib2to3",
    "venv",
    "curses",
    "dbm",
    "sqlite3",
    "asyncio",
    "multiprocessing",
    "concurrent",
    "ctypes",
    "wsgiref",
    "xmlrpc",
    "unittest",
    "pydoc_data",
    "site-packages",
    "__phello__",
    "_pyrepl",
}
FILES_LEFT_OUT = {
    f"{name}.py"
    for name in [
        "turtle",
        "pydoc",
        "webbrowser",
        "antigravity",
        "this",
        "smtplib",
        "imaplib",
        "poplib",
        "ftplib",
        "socketserver",
        "ssl",
        "subprocess",
        "pty",
        "tty",
        "cProfile",
        "profile",
        "pstats",
        "trace",
        "pdb",
        "bdb",
        "cmd",
        "code",
        "codeop",
        "rlcompleter",
        "doctest",
        "sched",
        "mailbox",
        "getpass",
        "netrc",
        "gzip",
        "bz2",
        "lzma",
        "zipapp",
        "site",
        "_aix_support",
        "_android_support",
        "_apple_support",
        "_ios_support",
        "_osx_support",
        "nturl2path",
        "ntpath",
    ]
}
FROZEN = {
    "encodings": ("encodings/__init__.py", True),
    "encodings.aliases": ("encodings/aliases.py", False),
    "encodings.utf_8": ("encodings/utf_8.py", False),
}
"""What the interpreter needs before boot.py can import from memory."""


SYSCONFIG = "_sysconfigdata__wasi_wasm32-wasi"
"""Where `sysconfig` finds how Python was built for this platform; `zoneinfo` asks it where the machine's zones are."""
NO_ZONES = {"leapseconds", "tzdata.zi", "zone.tab", "zone1970.tab", "zonenow.tab", "iso3166.tab"}
"""Lists about the zones, which `zoneinfo` does not read."""


def main(cpython: Path, msgspec: Path, tzdata: Path, out: Path) -> None:
    """Writes both files."""
    library = cpython / "Lib"
    frozen = {name: (library / path, package) for name, (path, package) in FROZEN.items()}
    frozen["_headrace_boot"] = (HERE / "boot.py", False)
    (out / "frozen_guest.h").write_text(header(frozen))
    with zipfile.ZipFile(out / "stdlib.zip", "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(library.rglob("*.py")):
            name = path.relative_to(library)
            if FOLDERS_LEFT_OUT.isdisjoint(name.parts) and str(name) not in FILES_LEFT_OUT:
                add(archive, path, name)
        for path in sorted((msgspec / "msgspec").glob("*.py")):
            add(archive, path, path.relative_to(msgspec))
        add_code(archive, "build_time_vars = {'TZPATH': ''}", Path(f"{SYSCONFIG}.py"))
        archive.writestr(zipfile.ZipInfo("tzdata.zip"), zones(tzdata))


def zones(tzdata: Path) -> bytes:
    """The package `tzdata` as a stored zip of its own."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted((tzdata / "tzdata").rglob("*")):
            name = path.relative_to(tzdata)
            if path.suffix == ".py":
                add(archive, path, name)
            elif path.is_file() and path.name not in NO_ZONES:
                archive.writestr(zipfile.ZipInfo(str(name)), path.read_bytes())
    return data.getvalue()


def add(archive: zipfile.ZipFile, path: Path, name: Path) -> None:
    """A module as a .pyc; what does not compile (templates of lib2to3 and the like) is left out."""
    with contextlib.suppress(SyntaxError):
        add_code(archive, path.read_bytes(), name)


def add_code(archive: zipfile.ZipFile, source: bytes | str, name: Path) -> None:
    """Source text as a .pyc."""
    code = compile(source, f"<stdlib>/{name}", "exec", dont_inherit=True, optimize=2)
    head = importlib.util.MAGIC_NUMBER + UNCHECKED_HASH.to_bytes(4, "little") + bytes(8)
    archive.writestr(zipfile.ZipInfo(str(name.with_suffix(".pyc"))), head + marshal.dumps(code))


def header(frozen: dict[str, tuple[Path, bool]]) -> str:
    """A C table of frozen modules."""
    lines = ["/* Made by pack.py. */", "#include <stddef.h>"]
    rows = []
    for name, (path, package) in frozen.items():
        data = marshal.dumps(compile(path.read_bytes(), f"<frozen {name}>", "exec", dont_inherit=True))
        symbol = f"frozen_{name.replace('.', '_')}"
        lines.append(f"static const unsigned char {symbol}[] = {{{','.join(map(str, data))}}};")
        rows.append(f'    {{"{name}", {symbol}, sizeof {symbol}, {int(package)}}},')
    return (
        "\n".join([*lines, "static const struct _frozen frozen_guest[] = {", *rows, "    {NULL, NULL, 0, 0},", "};"])
        + "\n"
    )


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
