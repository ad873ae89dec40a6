"""The copy of the registry on disk: its signed documents, and the code of its UDFs.

It is what a proxy starts with where the cluster does not answer, and what it knows the index by where it does: a
document that is older than its copy is not taken. Everything here reads and writes files: call it off the loop.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from headrace.registry.ledger import lacking, sample_of
from headrace.registry.signatures import MANIFEST, Entry
from headrace.registry.state_files import write_private
from headrace_pipelines.udf.catalog import digest as digest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from headrace.registry.signatures import Signer

log = logging.getLogger("headrace.registry")


class _Copy(msgspec.Struct):
    entries: list[msgspec.Raw]


@dataclass(frozen=True)
class Copied:
    """The documents of a copy whose signatures hold. `whole`: whether these are all that the registry had."""

    entries: list[Entry]
    whole: bool


class Copy:
    """The folder in which the copy is."""

    def __init__(self, folder: Path, signer: Signer) -> None:
        self.folder = folder
        self._signer = signer

    def read(self) -> Copied | None:
        """The copy; `None` if there is none that says anything."""
        path = self.folder / "registry.json"
        if not path.is_file():
            return None
        try:
            stored = [_decoded(raw) for raw in msgspec.json.decode(path.read_bytes(), type=_Copy).entries]
        except msgspec.ValidationError:
            log.warning(
                "the copy of the registry in %s is of an older version, without signatures: it is not used", path
            )
            return None
        except (OSError, ValueError, RecursionError) as error:
            log.error("the copy of the registry in %s cannot be read: %s", path, error)
            return None
        entries = [e for id_, source in stored if isinstance(e := self._signer.verified(id_, source), Entry)]
        if len(entries) < len(stored):
            log.error(
                "%d of %d documents in %s are not signed with this registry_secret: they are not used",
                len(stored) - len(entries), len(stored), path,
            )  # fmt: skip
        if stored and not entries:
            return None
        by_id = {entry.id: entry for entry in entries}
        manifest = by_id.get(MANIFEST)
        missing = lacking(manifest, by_id) if manifest is not None else []
        if missing:
            log.error("the copy in %s lacks %d documents (%s)", path, len(missing), sample_of(missing))
        # A copy that was written before the first manifest has none.
        return Copied(entries, not missing and (manifest is not None or len(entries) == len(stored)))

    def write(self, entries: Iterable[Entry]) -> None:
        """Replaces the copy."""
        self._keep("registry.json", msgspec.json.encode({"entries": list(entries)}))

    def code(self, digest: str) -> bytes | None:
        """The code of a UDF, if it is there and whole."""
        path = self.folder / "udf" / f"{digest}.bin"
        try:
            code = path.read_bytes()
        except OSError:
            return None
        return code if digest_of(code) == digest else None

    def write_code(self, digest: str, code: bytes) -> None:
        """Adds the code of a UDF."""
        self._keep(f"udf/{digest}.bin", code)

    def keep_only(self, is_wanted: Callable[[str], bool]) -> None:
        """Removes other code; `is_wanted` is asked for each digest just before."""
        for path in (self.folder / "udf").glob("*.bin"):
            if not is_wanted(path.stem):
                path.unlink(missing_ok=True)

    def _keep(self, name: str, data: bytes) -> None:
        """Writes a file of the copy; a disk that does not take it costs the copy, not the registry."""
        try:
            write_private(self.folder / name, data)
        except OSError as error:
            log.warning("[%s] could not be copied to %s: %s", name, self.folder, error.strerror)


def _decoded(raw: msgspec.Raw) -> tuple[str, dict[str, object]]:
    source = msgspec.json.decode(raw, type=dict[str, object])
    return str(source.get("id")), source
