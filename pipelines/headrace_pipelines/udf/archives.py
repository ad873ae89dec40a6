"""Pure-Python packages that come with a UDF: zips and wheels, kept as one stored zip that the guest reads."""

from __future__ import annotations

import base64
import io
import zipfile
from pathlib import PurePosixPath

import msgspec

from headrace_pipelines.errors import InvalidError

MAGIC = b"\0headrace-python-1\n"
MOST_BYTES = 16 << 20
"""Maximum of unpacked bytes of the files of a package: the guest holds them in memory."""
MOST_FILES = 5000
"""Maximum number of files of a package: it bounds the work of an upload."""
NATIVE = (".so", ".pyd", ".dll", ".dylib")


class _Stored(msgspec.Struct):
    source: str
    packages: str


def packed(source: str, packages: list[str]) -> bytes:
    """The stored code of a UDF: its source, or source and packages together. Raises InvalidError.

    `packages` are base64 texts of zips or wheels.
    """
    if not packages:
        return source.encode()
    archive = base64.b64encode(_merged_zip(packages)).decode()
    return MAGIC + msgspec.json.encode(_Stored(source, archive))


def unpacked(code: bytes) -> tuple[str, str]:
    """Source and packages (base64 of a stored zip, or nothing) of what was stored."""
    if not code.startswith(MAGIC):
        return code.decode(), ""
    stored = msgspec.json.decode(code[len(MAGIC) :], type=_Stored)
    return stored.source, stored.packages


def _merged_zip(packages: list[str]) -> bytes:
    """The files of all packages as one stored zip, the same bytes for the same files."""
    files: dict[str, bytes] = {}
    for i, text in enumerate(packages):
        for name, data in _files(text, f"packages[{i}]"):
            if files.setdefault(name, data) != data:
                raise InvalidError(f"[{name}] is in another package too, with other content", f"packages[{i}]")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name), files[name])
    return out.getvalue()


def _files(text: str, field: str) -> list[tuple[str, bytes]]:
    """The files of one zip or wheel. Raises InvalidError for what is none, too large, or native code."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise InvalidError(f"is not base64: {error}", field) from None
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise InvalidError(f"is neither a zip nor a wheel: {error}", field) from None
    infos = [info for info in archive.infolist() if not info.is_dir()]
    if len(infos) > MOST_FILES or sum(info.file_size for info in infos) > MOST_BYTES:
        raise InvalidError(f"holds more than {MOST_FILES} files or {MOST_BYTES} bytes", field)
    found = []
    for info in infos:
        path = PurePosixPath(info.filename)
        if path.is_absolute() or ".." in path.parts:
            raise InvalidError(f"[{info.filename}] leads out of the package", field)
        if path.name.endswith(NATIVE) or ".so." in path.name:
            raise InvalidError(f"[{info.filename}] is native code, which cannot run here", field)
        try:
            found.append((str(path), archive.read(info)))
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
            raise InvalidError(f"[{info.filename}] cannot be read: {error}", field) from None
    return found
