"""The engine's types that everything else works with; the one door to `_wasm` beside `udf` and `stages`."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

from headrace_pipelines import _wasm
from headrace_pipelines._wasm import (
    Batch,
    Bulk,
    BulkError,
    Condition,
    Deadline,
    FusedPipeline,
    FusedRun,
    Histogram,
    KeyShare,
    Mapping,
    Mappings,
    PanicException,
    RunTally,
    SharedBuckets,
    StageRun,
    Step,
    Tally,
    canonical_json,
    check_object,
    filter_path,
    fix_sources,
    json_from,
    json_to,
    keep_buffers,
    native_schemas,
    plain_json,
    release_buffers,
    unambiguous_json,
    without_types,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

if _wasm.DEBUG_BUILD:
    warnings.warn("the engine is a debug build: do not report timings from it", RuntimeWarning, stacklevel=2)

__all__ = [
    "Batch",
    "Bulk",
    "BulkError",
    "Condition",
    "Deadline",
    "FusedPipeline",
    "FusedRun",
    "Histogram",
    "KeyShare",
    "Mapping",
    "Mappings",
    "PanicException",
    "RunTally",
    "SharedBuckets",
    "StageRun",
    "Step",
    "Tally",
    "canonical_json",
    "check_object",
    "filter_path",
    "fixed_sources",
    "json_from",
    "json_to",
    "keep_buffers",
    "native_schemas",
    "plain_json",
    "release_buffers",
    "unambiguous_json",
    "without_types",
]


@contextmanager
def fixed_sources(time_ms: int | None = None, seed: int | None = None) -> Iterator[None]:
    """Within it stages see this time, in milliseconds since 1970, and randomness from this seed (32 bits).

    For tests: it holds for all threads of the process, and a seed for sandboxes that start within it. Deadlines,
    limits and statistics keep to the clock of the system.
    """
    fix_sources(time_ms, seed)
    try:
        yield
    finally:
        fix_sources()
