"""Compiled modules by digest, and UDFs bound to the parameters and limits of one stage."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headrace_pipelines import units
from headrace_pipelines._wasm import Module, ModuleError, Udf
from headrace_pipelines.errors import InvalidError
from headrace_pipelines.stats import StageCounts, StageStats
from headrace_pipelines.udf import archives
from headrace_pipelines.udf.lines import UdfLines
from headrace_pipelines.udf.manifest import INTERPRETED, JAVASCRIPT
from headrace_pipelines.udf.secrets import Secrets

if TYPE_CHECKING:
    from headrace_pipelines.udf.manifest import Manifest

GUESTS = {language: Path(__file__).parent.parent / f"{language}.wasm" for language in INTERPRETED}
"""The interpreters, made by `python -m guests`; part of the wheel."""
KEPT_SECONDS = 30 * 86400
"""Age in seconds at which compiled guests of other builds are deleted: 30 days."""
STACK, INTERPRETER_STACK = 1 << 20, 8 << 20
"""Bytes of wasm stack; an interpreter's own error for too deep a recursion must come first."""
_ENTRY = re.compile(
    r"^\s*(?:export\s+(?:default\s+)?)?(?:async\s+)?"
    r"(?:function\s+(?:process|udf_main)\b|(?:const|let|var)\s+(?:process|udf_main)\s*=)",
    re.MULTILINE,
)
"""JavaScript that defines an entry itself, and so is no snippet. (In Python the guest looks.)"""


@dataclass(frozen=True)
class Ceilings:
    """Limits of the operator: defaults and maxima of a UDF, in seconds and bytes."""

    timeout: float = 0.1
    max_timeout: float = 5.0
    memory: int = 64 << 20
    max_memory: int = 256 << 20
    output: int = 8 << 20
    log: int = 4096
    breaker: tuple[int, float, float] = (0, 0.0, 0.0)
    """Failures that open the breaker of a stage (0: none do), its window and its pause in seconds."""


class Catalog:
    """Compiles each module once per process, and once per machine with a cache folder. Safe to use from threads."""

    def __init__(
        self, cache: Path | None = None, ceilings: Ceilings | None = None, secrets: Secrets | None = None
    ) -> None:
        self._cache = cache
        self.secrets = secrets or Secrets()
        self.ceilings = ceilings or Ceilings()
        self._modules: dict[tuple[str, str | None], Module] = {}
        self._guests: dict[tuple[str, bool], Module] = {}
        self._stats: dict[str, StageStats] = {}
        self._lines: dict[str, UdfLines] = {}
        self._lock = threading.Lock()
        if cache is not None:
            cache.mkdir(mode=0o700, parents=True, exist_ok=True)

    def module(self, code: bytes, entry: str | None, field: str = "wasm") -> Module:
        """The compiled module of `code`. Raises InvalidError with the engine's words."""
        key = (digest(code), entry)
        with self._lock:
            if key not in self._modules:
                try:
                    self._modules[key] = Module(code, key[0], entry=entry, cache_dir=self._cache)
                except ModuleError as error:
                    raise InvalidError(str(error), field) from None
            return self._modules[key]

    def stats(self, manifest: Manifest) -> StageStats:
        """The counts of a version of a UDF over all the stages that run it."""
        with self._lock:
            return self._stats.setdefault(manifest.label, StageStats(manifest.label))

    def lines(self, name: str) -> UdfLines:
        """The last lines of a UDF, over all its versions and the stages that run it."""
        with self._lock:
            return self._lines.setdefault(name, UdfLines())

    def dump(self) -> dict[str, StageCounts]:
        """The counts of every UDF that has run, by `name@version`."""
        with self._lock:
            stats = list(self._stats.items())
        dumped = {label: each.dump() for label, each in stats}
        return {label: counts for label, counts in dumped.items() if counts.executions}

    def guest(self, language: str, field: str = "language", *, metered: bool = False) -> Module:
        """The interpreter of a language, compiled once per machine. Raises InvalidError where this build has none.

        `metered`: its fuel is counted, for UDFs that declare a limit of it, at about twice the cost.
        """
        with self._lock:
            key = (language, metered)
            if key not in self._guests:
                found = guest_digests()
                if language not in found:
                    raise InvalidError(f"this Headrace was built without {language} (python -m guests)", field)
                code = GUESTS[language].read_bytes()
                self._guests[key] = Module(code, found[language], cache_dir=guest_cache(), metered=metered)
            return self._guests[key]

    def udf(self, manifest: Manifest, code: bytes, parameters: bytes, field: str, *, inline: str | None = None) -> Udf:
        """A UDF with the parameters of one stage. Raises InvalidError with the engine's words.

        `inline`: the code is a snippet over a document of this name.
        """
        if not manifest.interpreted:
            return self.bind(manifest, self.module(code, manifest.entry, field), parameters)
        source, archive = archives.unpacked(code)
        config: dict[str, Any] = {"source": source, "parameters": msgspec.Raw(parameters)}
        if archive:
            config["packages"] = archive
        if manifest.entry:
            config["entry"] = manifest.entry
        if inline and not (manifest.language == JAVASCRIPT and _ENTRY.search(source)):
            config["inline"] = inline
        module = self.guest(manifest.language, field, metered=manifest.limits.fuel is not None)
        return self.bind(manifest, module, msgspec.json.encode(config))

    def keep_only(self, digests: set[str], labels: set[str]) -> None:
        """Forgets modules, their artefacts on disk and counts of UDFs that the registry does not name any more."""
        names = {label.partition("@")[0] for label in labels}
        with self._lock:
            self._lines = {name: lines for name, lines in self._lines.items() if name in names}
            self._stats = {label: stats for label, stats in self._stats.items() if label in labels}
            self._modules = {key: module for key, module in self._modules.items() if key[0] in digests}
        for path in self._cache.glob("*.bin") if self._cache is not None else ():
            if path.name.partition("-")[0] not in digests:
                path.unlink(missing_ok=True)

    def bind(self, manifest: Manifest, module: Module, parameters: bytes) -> Udf:
        """The module with its limits, for one stage. Raises InvalidError for limits over the operator's."""
        timeout, memory = self.limits(manifest)
        try:
            return module.bind(
                parameters,
                timeout_ms=timeout * 1000,
                memory=memory,
                fuel=manifest.limits.fuel,
                output=self.ceilings.output,
                log=self.ceilings.log,
                stack=INTERPRETER_STACK if manifest.interpreted else STACK,
                merge=manifest.merge,
                isolate=manifest.isolation == "document",
                fresh=manifest.isolation == "request",
                real_clock=manifest.clock == "real",
                real_random=manifest.random == "real",
                breaker=self.ceilings.breaker,
            )
        except ModuleError as error:
            raise InvalidError(str(error)) from None

    def limits(self, manifest: Manifest) -> tuple[float, int]:
        """Timeout in seconds and memory in bytes for one document. Raises InvalidError over the operator's."""
        ceilings, limits = self.ceilings, manifest.limits
        timeout, memory = ceilings.timeout, ceilings.memory
        if limits.timeout is not None:
            timeout = units.seconds(limits.timeout, "limits.timeout")
        if limits.memory is not None:
            memory = units.size(limits.memory, "limits.memory")
        if timeout > ceilings.max_timeout:
            raise InvalidError(f"more than this proxy allows: {ceilings.max_timeout:g}s", "limits.timeout")
        if memory > ceilings.max_memory:
            raise InvalidError(f"more than this proxy allows: {ceilings.max_memory} bytes", "limits.memory")
        return timeout, memory

    def try_out(self, manifest: Manifest, code: bytes) -> None:
        """Makes one sandbox, so that code that cannot be started is seen at upload. Raises InvalidError."""
        if not manifest.interpreted and any(parameter.required for parameter in manifest.parameters):
            return
        field = "source" if manifest.interpreted else "wasm"
        started(self.udf(manifest, code, b"{}", field), field)


def started(udf: Udf, field: str) -> Udf:
    """The UDF with one sandbox made. Raises InvalidError with what went wrong, for source with line and column."""
    try:
        udf.warm_up()
    except ModuleError as error:
        raise InvalidError(f"cannot be started: {error}", field) from None
    return udf


@functools.cache
def guest_digests() -> dict[str, str]:
    """The digests of the interpreters that this build has, by language."""
    return {language: digest(path.read_bytes()) for language, path in GUESTS.items() if path.is_file()}


def guest_cache() -> Path:
    """The user's cache folder for the compiled guests, which all proxies of this user share.

    Artefacts of other builds are deleted after `KEPT_SECONDS`.
    """
    current = tuple(guest_digests().values())
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "headrace", "compiled")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in folder.glob("*.bin"):
        with contextlib.suppress(OSError):
            if not path.name.startswith(current) and time.time() - path.stat().st_mtime > KEPT_SECONDS:
                path.unlink()
    return folder


def digest(code: bytes) -> str:
    """SHA-256 of a module, in hexadecimal."""
    return hashlib.sha256(code).hexdigest()
