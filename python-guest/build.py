"""Builds the Python guest, `pipelines/python.wasm`, from packages: CPython's source, msgspec's sdist, ziglang's clang.

`python python-guest/build.py` does nothing when the guest of these inputs is in the cache; else it says what it does.
The interpreter's library is built once per version and kept (about 2 minutes of two cores); a change of guest.c or
boot.py links anew (seconds).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parent
OUTPUT = HERE.parent / "pipelines" / "python.wasm"
LICENCES = HERE.parent / "pipelines" / "python-licences.txt"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headrace" / "guest"

CPYTHON = "3.13.5"
CPYTHON_TARBALL = f"python3.13_{CPYTHON}.orig.tar.xz"
CPYTHON_SHA256 = "93e583f243454e6e9e4588ca2c2662206ad961659863277afcdb96801647d640"
SUITE = "trixie"
MSGSPEC = "0.22.0"
MSGSPEC_SHA256 = "0a13624a4969159fe35d8c2a3d377b2b61bbd8585e327440d5e52725affcce38"
CFLAGS = "-O3 -fno-sanitize=all -D_WASI_EMULATED_SIGNAL -D_WASI_EMULATED_GETPID -D_WASI_EMULATED_PROCESS_CLOCKS"
STACK = 4 << 20
"""Bytes of C stack: Python's own limit of recursion comes first."""
CONFIG_SITE = """. Tools/wasm/config.site-wasm32-wasi
ac_cv_func_mmap=no
ac_cv_func_setgroups=no
ac_cv_func_timerfd_create=no
ac_cv_header_libintl_h=no
ac_cv_header_sys_timerfd_h=no
ac_cv_header_sys_mman_h=no
"""
LEFT_OUT = [
    "_lzma",
    "zlib",
    "readline",
    "_ctypes",
    "_uuid",
    "_socket",
    "select",
    "_bz2",
    "_sqlite3",
    "_ssl",
    "_hashlib",
    "_curses",
    "_dbm",
    "_gdbm",
    "_tkinter",
    "mmap",
    "resource",
    "termios",
    "fcntl",
    "grp",
    "pwd",
    "syslog",
    "_posixsubprocess",
    "_multiprocessing",
    "_posixshmem",
    "_asyncio",
]
LIBRARIES = (
    "libpython3.13.a",
    "Modules/expat/libexpat.a",
    "Modules/_hacl/libHacl_Hash_SHA2.a",
    "Modules/_decimal/libmpdec/libmpdec.a",
)
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


class BuildError(Exception):
    """Why there is no guest, and what to do."""


def say(text: str) -> None:
    """A line of progress."""
    print(f"   {text}", flush=True)


def main() -> int:
    """Makes the guest if it is not there."""
    try:
        with locked():
            guest = built()
    except BuildError as error:
        print(f"The Python guest cannot be built: {error}", file=sys.stderr)
        return 1
    for made, output in ((guest, OUTPUT), (guest.with_suffix(".txt"), LICENCES)):
        if not output.is_file() or digest(output) != digest(made):
            temporary = output.with_suffix(f".{os.getpid()}.tmp")
            shutil.copyfile(made, temporary)
            temporary.replace(output)
    return 0


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """One build at a time on this machine."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def built() -> Path:
    """The guest of these inputs, from the cache or made now."""
    inputs = [Path(__file__), HERE / "pack.py", HERE / "guest.c", HERE / "boot.py"]
    key = hashlib.sha256(b"".join(path.read_bytes() for path in inputs)).hexdigest()[:16]
    guest = CACHE / f"python-{key}.wasm"
    if guest.is_file() and guest.with_suffix(".txt").is_file():
        return guest
    print(
        "== Python guest: CPython for WebAssembly (the first time 3 to 8 minutes, kept in your cache folder)",
        flush=True,
    )
    started = time.monotonic()
    tools = compiler()
    python = library(tools)
    guest.with_suffix(".txt").write_text(licences(python))
    link(tools, python, guest)
    say(f"done in {time.monotonic() - started:.0f} s: {guest.stat().st_size >> 20} MiB")
    for old in sorted(CACHE.glob("python-*.wasm"), key=lambda p: p.stat().st_mtime)[:-3]:
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
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ziglang {command} "$@"\n')
        script.chmod(0o755)
    return folder


def library(tools: Path) -> Path:
    """The folder of CPython's source with its libraries built for WebAssembly."""
    key = hashlib.sha256("|".join([CPYTHON_SHA256, CFLAGS, CONFIG_SITE, *LEFT_OUT]).encode()).hexdigest()[:12]
    done = CACHE / f"cpython-{key}"
    if done.is_dir():
        return done
    work = CACHE / f"cpython-{key}.{os.getpid()}.tmp"
    shutil.rmtree(work, ignore_errors=True)
    say(f"unpacking CPython {CPYTHON}")
    unpack(source(), work)
    native = build_python(work)
    (work / "config.site.guest").write_text(CONFIG_SITE)
    (work / "Modules" / "Setup.local").write_text("\n".join(["*disabled*", *LEFT_OUT]) + "\n")
    environment = {
        "PATH": f"{tools}:{os.environ['PATH']}", "CONFIG_SITE": str(work / "config.site.guest"),
        "CC": "zcc", "CXX": "zcc", "AR": "zar", "RANLIB": "zranlib", "PKG_CONFIG": "/bin/false", "CFLAGS": CFLAGS,
        "SOURCE_DATE_EPOCH": "0",
    }  # fmt: skip
    log = CACHE / "build.log"
    log.unlink(missing_ok=True)
    say("configuring it for wasm32-wasi (about a minute)")
    options = [
        "--host=wasm32-wasi", "--build=x86_64-pc-linux-gnu", f"--with-build-python={native}", "--disable-test-modules",
        "--with-ensurepip=no", "--disable-ipv6", "--without-computed-gotos", "--with-pymalloc", "--without-doc-strings",
    ]  # fmt: skip
    run("./configure", *options, folder=work, log=log, **environment)
    say("compiling it (two to five minutes)")
    run("make", f"-j{os.cpu_count() or 2}", *LIBRARIES, folder=work, log=log, **environment)
    work.rename(done)
    return done


def unpack(tarball: Path, folder: Path) -> None:
    """The tarball's one folder as `folder`."""
    with tarfile.open(tarball) as archive:
        archive.extractall(folder.with_suffix(".unpacked"), filter="tar")
    (inner,) = folder.with_suffix(".unpacked").iterdir()
    inner.rename(folder)
    folder.with_suffix(".unpacked").rmdir()


def source() -> Path:
    """CPython's source: a tarball of `HEADRACE_CPYTHON_SOURCE`, else the distribution's source package."""
    given = os.environ.get("HEADRACE_CPYTHON_SOURCE")
    kept = CACHE / CPYTHON_TARBALL
    tarball = Path(given) if given else kept
    if not tarball.is_file():
        say("fetching the distribution's source package of CPython")
        fetch_source_package(kept)
    if digest(tarball) != CPYTHON_SHA256:
        raise BuildError(f"{tarball} is not the source of CPython {CPYTHON}: its SHA-256 must be {CPYTHON_SHA256}")
    return tarball


def fetch_source_package(kept: Path) -> None:
    """Fetches the source package by apt, with lists of its own, from the mirror that this machine uses."""
    if shutil.which("apt-get") is None:
        raise BuildError(
            f"there is no apt-get here; get the source of CPython {CPYTHON} (.tar.xz, SHA-256 {CPYTHON_SHA256}) "
            "and name it in HEADRACE_CPYTHON_SOURCE"
        )
    folder = CACHE / "apt"
    for part in ("lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    # The archive's signature is not asked for: the tarball's own SHA-256 is checked.
    (folder / "sources.list").write_text(f"deb-src [trusted=yes] {mirror()} {SUITE} main\n")
    options = {
        "Dir::Etc::SourceList": folder / "sources.list", "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::lists": folder / "lists", "Dir::Cache": folder / "cache",
    }  # fmt: skip
    flags = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
    log = CACHE / "apt.log"
    log.unlink(missing_ok=True)
    run("apt-get", *flags, "update", folder=folder, log=log)
    run("apt-get", *flags, "source", "--download-only", "--only-source", "python3.13", folder=folder, log=log)
    (folder / CPYTHON_TARBALL).rename(kept)


def mirror() -> str:
    """The mirror of Debian that this machine's apt is set up with."""
    for path in [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]:
        if not path.is_file():
            continue
        for line in path.read_text().splitlines():
            match = re.match(r"(?:deb\s+(?:\[[^\]]*\]\s*)?|URIs:\s*)(\S+/debian)/?(?:\s|$)", line)
            if match:
                return match.group(1)
    raise BuildError("no mirror of Debian is set up for apt; name CPython's source in HEADRACE_CPYTHON_SOURCE")


def build_python(work: Path) -> Path:
    """A native Python of the same X.Y: one that is installed, else one built from the same source."""
    found = shutil.which("python3.13")
    candidates = [Path(found)] if found else []
    candidates += sorted((Path.home() / ".pyenv" / "versions").glob("3.13.*/bin/python3.13"))
    candidates += sorted(CACHE.glob("native/bin/python3.13"))
    for candidate in candidates:
        done = subprocess.run(
            [candidate, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True, check=False
        )
        if done.stdout.strip() == b"(3, 13)":
            return candidate
    say("building a native Python 3.13 for the build itself (three minutes)")
    native = work.with_suffix(".native")
    shutil.rmtree(native, ignore_errors=True)
    shutil.copytree(work, native, symlinks=True)
    log = CACHE / "native.log"
    log.unlink(missing_ok=True)
    options = [f"--prefix={CACHE / 'native'}", "--with-ensurepip=no", "--disable-test-modules"]
    run("./configure", *options, folder=native, log=log)
    run("make", f"-j{os.cpu_count() or 2}", "install", folder=native, log=log)
    shutil.rmtree(native)
    return CACHE / "native" / "bin" / "python3.13"


def msgspec_source() -> Path:
    """The unpacked sdist of msgspec."""
    folder = CACHE / f"msgspec-{MSGSPEC}"
    if folder.is_dir():
        return folder
    say(f"fetching the sdist of msgspec {MSGSPEC}")
    log = CACHE / "msgspec.log"
    log.unlink(missing_ok=True)
    pip = CACHE / "pip"
    if not (pip / "bin" / "pip").is_file():
        run(sys.executable, "-m", "venv", pip, folder=CACHE, log=log)
    fetch = [pip / "bin" / "pip", "download", "--no-deps", "--no-binary", ":all:"]
    requirement = CACHE / "msgspec.txt"
    requirement.write_text(f"msgspec=={MSGSPEC} --hash=sha256:{MSGSPEC_SHA256}\n")
    run(*fetch, "--require-hashes", "-r", requirement, "-d", CACHE, folder=CACHE, log=log)
    unpack(CACHE / f"msgspec-{MSGSPEC}.tar.gz", folder)
    return folder


def licences(python: Path) -> str:
    """The licences of all that is linked into the guest, from the sources that it is built of."""
    # A module of the build's own environment: the machine's Python may start this script to say what is missing.
    import ziglang

    zig = Path(ziglang.__file__).parent
    libc = zig / "lib" / "libc"
    parts = {
        f"CPython {CPYTHON} and its standard library": python / "LICENSE",
        "Software that CPython incorporates (expat, libmpdec, HACL*, dtoa, SipHash and others)": python
        / "Doc"
        / "license.rst",
        "HACL* (the head of one file; all are under these terms)": python / "Modules" / "_hacl" / "Hacl_Hash_SHA2.c",
        f"msgspec {MSGSPEC}": msgspec_source() / "LICENSE",
        "wasi-libc": libc / "wasi" / "LICENSE",
        "wasi-libc: Apache License with LLVM exceptions": libc / "wasi" / "LICENSE-APACHE-LLVM",
        "wasi-libc: MIT License": libc / "wasi" / "LICENSE-MIT",
        "wasi-libc: cloudlibc": libc / "wasi" / "libc-bottom-half" / "cloudlibc" / "LICENSE",
        "musl (in wasi-libc)": libc / "musl" / "COPYRIGHT",
        "Zig's compiler-rt": zig / "LICENSE",
    }
    rule = "=" * 100
    texts = ["Licences of the parts of python.wasm, the guest that runs Python UDFs.\n"]
    for name, path in parts.items():
        text = path.read_text(errors="replace")
        if path.suffix == ".c":
            text = text[: text.index("*/") + 2]
        texts.append(f"{rule}\n{name}\n{rule}\n\n{text.strip()}\n")
    return "\n".join(texts)


def link(tools: Path, python: Path, guest: Path) -> None:
    """guest.c, boot.py, msgspec's core and the standard library with the interpreter, as one module."""
    say("linking the guest")
    folder = CACHE / f"link.{os.getpid()}.tmp"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    msgspec = msgspec_source() / "src"
    native = build_python(python)
    log = CACHE / "link.log"
    log.unlink(missing_ok=True)
    environment = {"PATH": f"{tools}:{os.environ['PATH']}"}
    run(native, HERE / "pack.py", python, msgspec, folder, folder=folder, log=log)
    include = [f"-I{python / 'Include'}", f"-I{python}"]
    core = [f"-I{python / 'Include' / 'internal'}", "-O3", "-fno-sanitize=all", "-w"]
    run(
        "zcc",
        *core,
        *include,
        "-c",
        msgspec / "msgspec" / "_core.c",
        "-o",
        "core.o",
        folder=folder,
        log=log,
        **environment,
    )
    library_zip = f'-DSTDLIB_ZIP="{folder / "stdlib.zip"}"'
    run(
        "zcc", "-O2", "-fno-sanitize=all", library_zip, f"-I{folder}", *include, "-c", HERE / "guest.c",
        "-o", "guest.o",
        folder=folder, log=log, **environment,
    )  # fmt: skip
    emulated = ["-lwasi-emulated-signal", "-lwasi-emulated-getpid", "-lwasi-emulated-process-clocks", "-lm"]
    run(
        "zcc", "-O2", "-mexec-model=reactor", f"-Wl,-z,stack-size={STACK}", "-s", "-o", "python.wasm",
        "guest.o", "core.o",
        *(python / name for name in LIBRARIES), *emulated, folder=folder, log=log, **environment,
    )  # fmt: skip
    (folder / "python.wasm").rename(guest)
    shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
