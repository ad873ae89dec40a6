"""Measures a UDF in the engine: time for a document by size of batch, fuel, memory, and the start of a sandbox."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec

from headrace_pipelines import Bulk, Deadline, execute
from headrace_pipelines.definition import PipelineDefinition, PipelineType, UdfConfig, UdfStage
from headrace_pipelines.errors import InvalidError
from headrace_pipelines.registry import Records, Snapshot, compile_pipeline, udf_record
from headrace_pipelines.udf.catalog import started

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.project.udf_file import UdfFile
    from headrace_pipelines.registry import Pipeline

SIZES = (1, 10, 100, 1000)
"""Documents of a batch: a single write, and bulks of usual sizes."""
ROUNDS = 5
"""Rounds for each size; the quickest counts, which other work of the machine disturbs least."""
ROUND_SECONDS = 0.2
"""Minimum of seconds of a round: many ticks of the clock, and an answer within seconds."""
SECONDS = 30.0
"""Maximum of seconds of one batch."""
NOISE_US = 0.05
"""Microseconds for a document below which a difference is not told: it is the resolution of the measurement."""


class Measurement(msgspec.Struct, frozen=True):
    """The figures of a UDF. `microseconds`: for a document, by the documents of a batch.

    `cold_start_ms`: a new sandbox until it can run, its module compiled; `fuel`: points for a document, 0 where it is
    not counted; `memory_peak`: bytes of the largest sandbox.
    """

    udf: str
    documents: int
    microseconds: dict[str, float]
    cold_start_ms: float
    fuel: int
    memory_peak: int


class Regression(msgspec.Struct, frozen=True):
    """A figure that has become worse by more than is allowed; `change` is a ratio, 0.1 for ten percent."""

    figure: str
    before: float
    after: float
    change: float


def measure(udf: UdfFile, documents: Sequence[bytes], params: dict[str, Any]) -> Measurement:
    """Measures a UDF over documents, each a JSON object on one line. Raises InvalidError for one that fails."""
    if not documents:
        raise InvalidError("there is no document to measure with")
    manifest = msgspec.structs.replace(udf.manifest, version=udf.manifest.version or "1")
    record = udf_record(udf.catalog, manifest, udf.code, "")
    snapshot = Snapshot(Records(udfs=[record]), {}, {record.digest: udf.code})
    config = UdfConfig(udf_name=manifest.name, parameters=msgspec.Raw(msgspec.json.encode(params)))
    stage = UdfStage(name=manifest.name, config=config)
    definition = PipelineDefinition(name=manifest.name, type=PipelineType.DOCUMENT, version="1", stages=[stage])
    pipeline = compile_pipeline(definition, snapshot, udf.catalog)
    times = {str(size): _round_time(pipeline, documents, size) for size in SIZES}
    (counts,) = pipeline.stats.dump().stages
    return Measurement(
        manifest.name,
        len(documents),
        {size: round(value, 3) for size, value in times.items()},
        round(_cold_start_ms(udf, params), 3),
        counts.fuel // max(counts.documents, 1),
        counts.memory_peak,
    )


def _cold_start_ms(udf: UdfFile, params: dict[str, Any]) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        started(udf.catalog.udf(udf.manifest, udf.code, msgspec.json.encode(params), "source"), "source")
        best = min(best, time.perf_counter() - begun)
    return best * 1000


def _round_time(pipeline: Pipeline, documents: Sequence[bytes], size: int) -> float:
    """Microseconds for a document in batches of a size."""
    chosen = [documents[i % len(documents)] for i in range(size)]
    body = b"".join(b'{"index":{}}\n' + text + b"\n" for text in chosen)
    best = float("inf")
    for _ in range(ROUNDS):
        spent, runs = 0.0, 0
        while spent < ROUND_SECONDS:
            batch = Bulk(body, index="_index").batch(list(range(size)))
            begun = time.perf_counter()
            execution = execute(pipeline, batch, Deadline(SECONDS))
            spent += time.perf_counter() - begun
            runs += 1
            if execution.failures:
                failed = next(i for i in range(len(batch)) if batch.outcome(i)[1] is not None)
                failure = batch.outcome(failed)[1]
                raise InvalidError(f"document {failed % len(documents) + 1} fails: {failure[2] if failure else ''}")
        best = min(best, spent / runs / size * 1e6)
    return best


def regressions(before: Measurement, after: Measurement, allowed: float) -> list[Regression]:
    """The figures that are worse by more than the allowed ratio."""
    pairs = [
        (f"µs/document, batches of {size}", before.microseconds[size], value)
        for size, value in after.microseconds.items()
        if size in before.microseconds and value - before.microseconds[size] > NOISE_US
    ]
    pairs += [
        ("fuel/document", before.fuel, after.fuel),
        ("memory peak", before.memory_peak, after.memory_peak),
        ("cold start, ms", before.cold_start_ms, after.cold_start_ms),
    ]
    found = [Regression(name, old, new, new / old - 1) for name, old, new in pairs if old > 0]
    return [each for each in found if each.change > allowed]
