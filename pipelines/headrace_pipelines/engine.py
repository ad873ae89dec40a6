"""The engine's types that everything else works with; the one door to `_wasm` beside `udf` and `stages`."""

from __future__ import annotations

import warnings

from headrace_pipelines import _wasm
from headrace_pipelines._wasm import (
    Batch,
    Bulk,
    BulkError,
    Condition,
    Deadline,
    Histogram,
    PanicException,
    StageRun,
    Step,
    Tally,
    canonical_json,
    check_object,
    filter_path,
    json_from,
    json_to,
    keep_buffers,
    plain_json,
    release_buffers,
    unambiguous_json,
    without_types,
)

if _wasm.DEBUG_BUILD:
    warnings.warn("the engine is a debug build: do not report timings from it", RuntimeWarning, stacklevel=2)

__all__ = [
    "Batch",
    "Bulk",
    "BulkError",
    "Condition",
    "Deadline",
    "Histogram",
    "PanicException",
    "StageRun",
    "Step",
    "Tally",
    "canonical_json",
    "check_object",
    "filter_path",
    "json_from",
    "json_to",
    "keep_buffers",
    "plain_json",
    "release_buffers",
    "unambiguous_json",
    "without_types",
]
