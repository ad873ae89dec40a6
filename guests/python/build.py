"""Builds the Python guest, `python.wasm` beside the engine: CPython's source, sdists, ziglang's clang.

The interpreter's library is built once per version and kept (about 2 minutes of two cores); a change of guest.c or
boot.py links anew (seconds).
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

from guests import kit
from guests.kit import CACHE, BuildError, digest, run, say, unpack

HERE = Path(__file__).resolve().parent

CPYTHON = "3.13.5"
CPYTHON_TARBALL = f"python3.13_{CPYTHON}.orig.tar.xz"
CPYTHON_SHA256 = "93e583f243454e6e9e4588ca2c2662206ad961659863277afcdb96801647d640"
SUITE = "trixie"
MSGSPEC = "0.22.0"
MSGSPEC_SHA256 = "0a13624a4969159fe35d8c2a3d377b2b61bbd8585e327440d5e52725affcce38"
TZDATA = "2025.2"
TZDATA_SHA256 = "b60a638fcc0daffadf82fe0f57e53d06bdec2f36c4df66280ae79bce6bd6f2b9"
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


PARTS = ("guest", "reader", "writer")
"""Our own files in C."""


def build() -> None:
    """Makes the guest if it is not there. Raises BuildError."""
    inputs = [HERE / name for name in ("build.py", "pack.py", "boot.py", "record.h", *(f"{name}.c" for name in PARTS))]
    inputs += kit.SHARED
    announce = "Python guest: CPython for WebAssembly (the first time 3 to 8 minutes, kept in your cache folder)"
    kit.install("python", inputs, make, announce)


def make(guest: Path) -> str:
    """Builds the guest; gives the licences of its parts."""
    tools = kit.compiler()
    python = library(tools)
    link(tools, python, guest)
    return kit.licences(
        "python.wasm",
        "the guest that runs Python UDFs",
        {
            f"CPython {CPYTHON} and its standard library": python / "LICENSE",
            "Software that CPython incorporates (expat, libmpdec, HACL*, dtoa, SipHash and others)": python
            / "Doc"
            / "license.rst",
            "HACL* (the head of one file; all are under these terms)": python
            / "Modules"
            / "_hacl"
            / "Hacl_Hash_SHA2.c",
            f"msgspec {MSGSPEC}": msgspec_source() / "LICENSE",
            f"tzdata {TZDATA}": tzdata_source() / "LICENSE",
            f"tzdata {TZDATA}: Apache License": tzdata_source() / "licenses" / "LICENSE_APACHE",
        },
    )


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
    return kit.sdist("msgspec", MSGSPEC, MSGSPEC_SHA256)


def tzdata_source() -> Path:
    """The unpacked sdist of tzdata, the database of time zones."""
    return kit.sdist("tzdata", TZDATA, TZDATA_SHA256)


def link(tools: Path, python: Path, guest: Path) -> None:
    """guest.c, boot.py, msgspec's core and the standard library with the interpreter, as one module."""
    say("linking the guest")
    with kit.folder("link") as folder:
        msgspec = msgspec_source() / "src"
        native = build_python(python)
        log = CACHE / "link.log"
        log.unlink(missing_ok=True)
        environment = {"PATH": f"{tools}:{os.environ['PATH']}"}
        sources = (python, msgspec, tzdata_source() / "src")
        run(native, HERE / "pack.py", *sources, folder, folder=folder, log=log)
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
        include += [f"-I{kit.SHARED_FOLDER}", f"-I{msgspec / 'msgspec'}", f"-I{python / 'Include' / 'internal'}"]
        for part in PARTS:
            run(
                "zcc", "-O3", "-msimd128", "-fno-sanitize=all", library_zip, f"-I{folder}", *include,
                "-c", HERE / f"{part}.c", "-o", f"{part}.o",
                folder=folder, log=log, **environment,
            )  # fmt: skip
        emulated = ["-lwasi-emulated-signal", "-lwasi-emulated-getpid", "-lwasi-emulated-process-clocks", "-lm"]
        run(
            "zcc", "-O2", "-mexec-model=reactor", f"-Wl,-z,stack-size={STACK}", "-s", "-o", "python.wasm",
            *(f"{part}.o" for part in PARTS), "core.o",
            *(python / name for name in LIBRARIES), *emulated, folder=folder, log=log, **environment,
        )  # fmt: skip
        (folder / "python.wasm").rename(guest)
