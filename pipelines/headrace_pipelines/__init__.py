"""The data plane: what a pipeline is and how it runs. No HTTP, no event loop, no cluster client.

The public API is what this module exports; `Pipelines` is the place to start:

    pipelines = Pipelines.load({"tidy": {"type": "document", "stages": [...]}})
    outcome = pipelines.run("tidy", documents)

Inside:

- a **definition** (`definition`) is what people write: a named, versioned list of stages;
- a **batch** (`engine`) is the documents of one request on their way through the stages, held by the engine;
- a **stage** (`stages`) does one thing to a batch: a UDF, a built-in, or a list of stages;
- the **registry** (`registry`) is an immutable snapshot of all pipelines, UDFs and associations;
- the **executor** (`executor`) runs a pipeline over a batch and keeps its statistics.

The engine, `headrace_pipelines._wasm`, is the Rust crate `wasm-runtime`; every loop over documents is there.
"""

from headrace_pipelines.definition import PipelineDefinition, PipelineType
from headrace_pipelines.engine import (
    Batch,
    Bulk,
    BulkError,
    Deadline,
    FusedPipeline,
    FusedRun,
    Mapping,
    Mappings,
    canonical_json,
    filter_path,
    fixed_sources,
    json_from,
    json_to,
    keep_buffers,
    plain_json,
    release_buffers,
    unambiguous_json,
    without_types,
)
from headrace_pipelines.errors import HeadraceError
from headrace_pipelines.executor import Run, attempt, attempt_fused, execute, record_skipped, run_uncounted
from headrace_pipelines.executor.report import Execution, RunOptions, StageTime, count_fused
from headrace_pipelines.local import BulkOutcome, Bundle, Failure, Outcome, PipelineFailedError, Pipelines
from headrace_pipelines.registry import Snapshot

__all__ = [
    "Batch",
    "Bulk",
    "BulkError",
    "BulkOutcome",
    "Bundle",
    "Deadline",
    "Execution",
    "Failure",
    "FusedPipeline",
    "FusedRun",
    "HeadraceError",
    "Mapping",
    "Mappings",
    "Outcome",
    "PipelineDefinition",
    "PipelineFailedError",
    "PipelineType",
    "Pipelines",
    "Run",
    "RunOptions",
    "Snapshot",
    "StageTime",
    "attempt",
    "attempt_fused",
    "canonical_json",
    "count_fused",
    "execute",
    "filter_path",
    "fixed_sources",
    "json_from",
    "json_to",
    "keep_buffers",
    "plain_json",
    "record_skipped",
    "release_buffers",
    "run_uncounted",
    "unambiguous_json",
    "without_types",
]
