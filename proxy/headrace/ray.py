"""Headrace on Ray: indexes as datasets, pipelines over datasets, and jobs whose items are tasks.

Needs `pip install headrace[ray]` on every node. Credentials come from the environment of the workers, or from a
`headrace.toml` that is on each node; they are in no argument of a task.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

try:
    import ray
    import ray.data
except ImportError as error:
    raise ImportError("headrace.ray needs Ray: pip install headrace[ray]") from error

import msgspec

from headrace.backfill import columns
from headrace.backfill.engine import CANCEL_SECONDS, MAX_ATTEMPTS, TICK_SECONDS, Progress
from headrace.backfill.messages import attempt, result_of
from headrace.backfill.spec import BackfillError, Counts, ItemResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from headrace.backfill.spec import Connection, JobSpec, WorkItem
    from headrace_pipelines import Bundle

AT_ONCE = 1000
"""Tasks that wait in the cluster at most: the others stay in this process."""


@contextmanager
def running(master: str = "") -> Iterator[int]:
    """Joins the cluster at `master`, or starts one of this machine, which ends with the block; gives its processors.

    A cluster that this process has joined already goes on.
    """
    joined = ray.is_initialized()
    if not joined:
        local = {} if master else {"include_dashboard": False}
        ray.init(address=master or "local", log_to_driver=False, **local)
    try:
        yield int(ray.cluster_resources().get("CPU", 1))
    finally:
        if not joined:
            ray.shutdown()


def read_index(**options: str) -> Any:
    """An index as a dataset with the columns `_id`, `_index`, `_routing`, `_seq_no`, `_source`.

    Options as those of the format `headrace` of [`headrace.spark`]. Raises ClientError, UnreachableError, and
    BackfillError for options that are wrong.
    """
    job = columns.reading_job(options)
    items = columns.plan(job, workers=int(options.get("workers", 0)), slices=int(options.get("slices", 0)))

    def read(batch: Any) -> Iterator[Any]:
        import pyarrow

        for row in batch.column("id").to_pylist():
            for part in columns.read(job, items[row]):
                yield pyarrow.Table.from_batches([part])

    count = max(1, len(items))
    numbers = ray.data.range(len(items), override_num_blocks=count)
    return numbers.map_batches(read, batch_size=1, batch_format="pyarrow")


def apply(
    dataset: Any,
    pipeline: str,
    *,
    bundle: Bundle | None = None,
    connection: Connection | None = None,
    keep_before: bool = False,
) -> Any:
    """What a document pipeline makes of the rows of a dataset, as [`headrace.spark.apply`] does.

    Raises ClientError and MissingError.
    """
    code = columns.Code.of(pipeline, bundle, connection)

    def run(table: Any) -> Iterator[Any]:
        import pyarrow

        for part in columns.run(code, table.to_batches(), keep_before=keep_before):
            yield pyarrow.Table.from_batches([part])

    return dataset.map_batches(run, batch_format="pyarrow", zero_copy_batch=True)


def write_index(dataset: Any, **options: str) -> Counts:
    """Writes a dataset by idempotent bulks, and gives what became of its rows. Raises BackfillError."""
    job = columns.writing_job(options)

    def write(table: Any) -> dict[str, list[bytes]]:
        return {"counts": [msgspec.json.encode(columns.write(job, table.to_batches()))]}

    counts = Counts()
    for row in dataset.map_batches(write, batch_format="pyarrow", zero_copy_batch=True).iter_rows():
        counts.add(msgspec.json.decode(row["counts"], type=Counts))
    columns.refresh(job)
    return counts


class RayEngine:
    """Hands out items as tasks. Ray repeats the tasks of workers that end; an item done twice is done once."""

    def run(
        self, job: JobSpec, items: Sequence[WorkItem], watch: Callable[[Progress], None] | None = None
    ) -> ItemResult:
        """See [`headrace.backfill.engine.Engine`]. Raises BackfillError where Ray ends a task for good."""
        total = ItemResult()
        task = ray.remote(max_retries=MAX_ATTEMPTS - 1)(attempt)
        shared = ray.put(job)
        waiting = list(reversed(items))
        running: list[Any] = []
        done = 0
        try:
            while waiting or running:
                while waiting and len(running) < AT_ONCE:
                    running.append(task.remote(shared, waiting.pop()))
                ready, running = ray.wait(running, num_returns=1, timeout=TICK_SECONDS)
                for reference in ready:
                    total.add(result_of(ray.get(reference)))
                    done += 1
                if watch is not None:
                    watch(Progress(total.counts, done, len(items), 0))
        except ray.exceptions.RayError as error:
            raise BackfillError(f"Ray ends the job: {str(error).strip()[:500]}") from error
        finally:
            for reference in running:
                ray.cancel(reference)
            if running:
                # An item that still writes must not outlive the job.
                ray.wait(running, num_returns=len(running), timeout=CANCEL_SECONDS)
        return total


def backfill(job: JobSpec, items: Sequence[WorkItem]) -> ItemResult:
    """Does items of a job on Ray, each as a task, and adds up their results. See [`RayEngine.run`]."""
    return RayEngine().run(job, items)
