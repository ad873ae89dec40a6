"""Compiled modules by digest, and UDFs bound to the parameters and limits of one stage."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines import units
from pipelines._wasm import Module, ModuleError, Udf
from pipelines.errors import InvalidError
from pipelines.stats import StageCounts, StageStats

if TYPE_CHECKING:
    from pathlib import Path

    from pipelines.udf.manifest import Manifest


@dataclass(frozen=True)
class Ceilings:
    """What the operator allows at most, and what a UDF gets that asks for nothing; seconds and bytes."""

    timeout: float = 0.1
    max_timeout: float = 5.0
    memory: int = 64 << 20
    max_memory: int = 256 << 20
    output: int = 8 << 20
    log: int = 4096


class Catalog:
    """Compiles each module once per process, and once per machine with a cache folder. Safe to use from threads."""

    def __init__(self, cache: Path | None = None, ceilings: Ceilings | None = None) -> None:
        self._cache = cache
        self.ceilings = ceilings or Ceilings()
        self._modules: dict[tuple[str, str | None], Module] = {}
        self._stats: dict[str, StageStats] = {}
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

    def dump(self) -> dict[str, StageCounts]:
        """The counts of every UDF that has run, by `name@version`."""
        with self._lock:
            stats = list(self._stats.items())
        dumped = {label: each.dump() for label, each in stats}
        return {label: counts for label, counts in dumped.items() if counts.executions}

    def keep_only(self, digests: set[str]) -> None:
        """Forgets modules, and their artefacts on disk, that no UDF of the registry names any more."""
        with self._lock:
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
                merge=manifest.merge,
                isolate=manifest.isolation == "document",
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

    def try_out(self, manifest: Manifest, module: Module) -> None:
        """Makes one sandbox, so that a start function that traps is seen at upload. Raises InvalidError."""
        if any(parameter.required for parameter in manifest.parameters):
            return
        try:
            self.bind(manifest, module, b"{}").warm_up()
        except ModuleError as error:
            raise InvalidError(f"cannot be started: {error}", "wasm") from None


def digest(code: bytes) -> str:
    """SHA-256 of a module, in hexadecimal."""
    return hashlib.sha256(code).hexdigest()
