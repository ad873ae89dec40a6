"""`headrace udf package`: a UDF in one file, with its code, its cases, its README and a digest."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.project.udf_file import cases_of, of_manifest
from headrace_pipelines.errors import InvalidError

if TYPE_CHECKING:
    from pathlib import Path

    from headrace.project.udf_file import UdfFile

ENDING = ".udf.zip"
MANIFEST = "manifest.json"
SOURCE_LANGUAGES = ("python", "javascript", "wat")
"""Languages whose code is text."""
MAX_BYTES = 64 << 20
"""Bytes of all files of a package together: what a proxy accepts in a call."""
_DATE = (1980, 1, 1, 0, 0, 0)
"""The time of every entry, so that the same UDF makes the same file."""


def write(source: Path, udf: UdfFile, output: Path) -> str:
    """Writes the package of a UDF; returns the SHA-256 of its code. Raises OSError."""
    digest = hashlib.sha256(udf.code).hexdigest()
    manifest = {**msgspec.to_builtins(udf.manifest), "code": source.name, "sha256": digest}
    files = {MANIFEST: msgspec.json.format(msgspec.json.encode(manifest), indent=2), source.name: udf.code}
    for extra in (cases_of(source), source.with_name("README.md")):
        if extra.is_file():
            files[extra.name] = extra.read_bytes()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, _DATE), content, zipfile.ZIP_DEFLATED)
    return digest


def read(path: Path) -> UdfFile:
    """Compiles the UDF of a package.

    Raises InvalidError for a file that is no package, or whose code is not that of its digest.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
                raise InvalidError(f"{path.name} is larger than {MAX_BYTES >> 20} MiB")
            manifest = msgspec.json.decode(archive.read(MANIFEST), type=dict[str, Any])
            code = archive.read(str(manifest.pop("code", "")))
    except (zipfile.BadZipFile, KeyError, msgspec.DecodeError, msgspec.ValidationError) as error:
        raise InvalidError(f"{path.name} is no package of a UDF: {error}") from None
    if hashlib.sha256(code).hexdigest() != manifest.pop("sha256", ""):
        raise InvalidError(f"{path.name} is damaged: its code is not that of its digest")
    if not isinstance(manifest.get("name"), str):
        raise InvalidError(f"{path.name} is no package of a UDF: its manifest has no name")
    if manifest.get("language") not in SOURCE_LANGUAGES:
        return of_manifest({**manifest, "wasm": base64.b64encode(code).decode()})
    try:
        return of_manifest({**manifest, "source": code.decode()})
    except UnicodeDecodeError as error:
        raise InvalidError(f"the code in {path.name} is not UTF-8: {error.reason} at byte {error.start}") from None
