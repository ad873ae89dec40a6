"""The data plane as values: what a pipeline is and how it runs. No HTTP, no event loop, no cluster client.

Five nouns carry it:

- a **definition** (`definition`) is what people write: a named, versioned list of stages;
- a **batch** (`batch`) is the documents of one request on their way through the stages, held by the engine;
- a **stage** (`stages`) does one thing to a batch: a UDF, a built-in, or a list of stages;
- the **registry** (`registry`) is an immutable snapshot of all pipelines, UDFs and associations;
- the **executor** (`executor`) runs a pipeline over a batch and keeps its statistics.

The engine, `headrace_pipelines._wasm`, is the Rust crate `wasm-runtime`; every loop over documents is there.
"""

from headrace_pipelines.batch import (
    Batch,
    Bulk,
    BulkError,
    Deadline,
    Intake,
    canonical_json,
    filter_path,
    json_from,
    json_to,
    keep_buffers,
    plain_json,
    release_buffers,
    unambiguous_json,
    without_types,
)
from headrace_pipelines.definition import PipelineDefinition, PipelineType
from headrace_pipelines.errors import HeadraceError
from headrace_pipelines.executor import Execution, Place, attempt, execute, pass_by
from headrace_pipelines.registry import Snapshot

__all__ = [
    "Batch",
    "Bulk",
    "BulkError",
    "Deadline",
    "Execution",
    "HeadraceError",
    "Intake",
    "PipelineDefinition",
    "PipelineType",
    "Place",
    "Snapshot",
    "attempt",
    "canonical_json",
    "execute",
    "filter_path",
    "json_from",
    "json_to",
    "keep_buffers",
    "pass_by",
    "plain_json",
    "release_buffers",
    "unambiguous_json",
    "without_types",
]
