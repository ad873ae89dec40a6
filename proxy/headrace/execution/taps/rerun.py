"""The second run of a kept input: the same version of the pipeline, with a trace, in sandboxes of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from headrace_pipelines import Batch, Bulk, BulkError, Deadline, PipelineType, RunOptions, execute
from headrace_pipelines.cache import BoundedCache
from headrace_pipelines.registry import compile_pipeline
from headrace_pipelines.stats import PipelineStats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.execution.taps.samples import Sample
    from headrace_pipelines import Execution, Snapshot
    from headrace_pipelines.engine import Condition
    from headrace_pipelines.registry import Pipeline
    from headrace_pipelines.udf.catalog import Catalog

MAX_COMPILED = 8
"""Pipelines with UDFs that are compiled for second runs: each has sandboxes of its own, of some ten megabytes."""
MAX_COPIED = 64
"""Other pipelines with statistics of their own that are kept: they have no sandboxes."""
SECONDS = 5.0
"""Seconds of one second run, or of one evaluation of `match` over all that waits."""


class SecondRun(msgspec.Struct):
    """A second run: its trace, what it ended with, and whether it failed."""

    trace: list[dict[str, Any]]
    outputs: list[bytes]
    failed: bool


class Rerunner:
    """Runs samples once more; used by one thread."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._compiled: BoundedCache[int, tuple[Pipeline, Pipeline]] = BoundedCache(MAX_COMPILED)
        self._copied: BoundedCache[int, tuple[Pipeline, Pipeline]] = BoundedCache(MAX_COPIED)

    def run(self, sample: Sample) -> SecondRun:
        """The run of a sample whose text is at hand. Raises HeadraceError where the version cannot be compiled."""
        batch, done = self.ended(sample, sample.pipeline, Deadline(SECONDS), trace=True)
        states = [batch.outcome(at) for at in range(len(batch))]
        failed = any(failure is not None for _, failure in states)
        outputs = [batch.document(at) for at, (state, _) in enumerate(states) if state in ("live", "finished")]
        return SecondRun(done.trace or [], [] if failed else outputs, failed)

    def ended(
        self, sample: Sample, pipeline: Pipeline, deadline: Deadline, *, trace: bool = False
    ) -> tuple[Batch, Execution]:
        """A sample whose text is at hand after a run of a version. Raises HeadraceError where it cannot be compiled."""
        batch = Batch.of(
            sample.kind.value,
            sample.text or b"",
            index=sample.index,
            id=sample.id,
            routing=sample.routing,
            ctx=sample.context,
        )
        return batch, self.execute(sample, pipeline, batch, deadline, trace=trace)

    def execute(
        self, sample: Sample, pipeline: Pipeline, batch: Batch, deadline: Deadline, *, trace: bool = False
    ) -> Execution:
        """Runs a version over a batch as it ran over the batch of the sample. Raises HeadraceError as [`ended`]."""
        options = RunOptions(
            final=sample.options.final, indexes=sample.options.indexes, trace=trace, counted=False, logged=False
        )
        return execute(self._uncounted(pipeline, sample.snapshot), batch, deadline, options)

    def _uncounted(self, pipeline: Pipeline, snapshot: Snapshot) -> Pipeline:
        """The pipeline with statistics of its own, and with sandboxes of its own where it has UDFs."""
        isolated = pipeline.fault is None and any(node.runner.stats is not None for node in pipeline.nodes)
        cache = self._compiled if isolated else self._copied
        cached = cache.get(id(pipeline))
        if cached is None or cached[0] is not pipeline:
            if isolated:
                own = compile_pipeline(pipeline.definition, snapshot, self._catalog)
            else:
                own = replace(pipeline, stats=PipelineStats())
            cached = (pipeline, own)
            cache.set(id(pipeline), cached)
        return cached[1]


def matching(samples: Sequence[tuple[Sample, bytes]], conditions: dict[PipelineType, Condition]) -> list[Sample]:
    """The samples whose text, as it may be seen, meets the condition; one that cannot be evaluated does not."""
    documents = [
        (sample, text) for sample, text in samples if sample.kind is PipelineType.DOCUMENT and b"\n" not in text
    ]
    rest = [each for each in samples if each[0].kind is not PipelineType.DOCUMENT or b"\n" in each[1]]
    found = [documents[at][0] for at in _met([text for _, text in documents], conditions)]
    for sample, text in rest:
        batch = Batch.of(sample.kind.value, text)
        batch.enter_if(conditions[sample.kind], Deadline(SECONDS), False, "tap", "match")
        if batch.live:
            found.append(sample)
    return found


def _met(texts: list[bytes], conditions: dict[PipelineType, Condition]) -> list[int]:
    """The positions of the documents that meet a condition, evaluated over all of them in one call."""
    if not texts:
        return []
    try:
        bulk = Bulk(b"".join(b'{"index":{"_index":"_"}}\n%b\n' % text for text in texts))
    except BulkError:
        return []
    batch = bulk.batch(list(range(len(bulk.targets()))))
    batch.enter_if(conditions[PipelineType.DOCUMENT], Deadline(SECONDS), False, "tap", "match")
    # Only documents within the condition are active: the mark that they get tells them apart.
    batch.fail_all(400, "match", "", "tap", "match")
    return [at for at in range(len(batch)) if batch.outcome(at)[0] == "failed"]
