"""What `headrace backfill` shows: a bar while it works, and the result."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
import msgspec

from headrace.cli.output import coloured, emit, emit_data, note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from headrace.backfill.cluster.records import JobRecord, Pass
    from headrace.backfill.engine import Progress
    from headrace.backfill.spec import Counts, ItemResult, JobSpec

    Watch = Callable[[Pass, Progress], None]

COUNTED = ("read", "written", "same", "changed", "dropped", "failed", "rejected", "conflicts", "deleted", "retried")
"""Counts that people see, in this order."""
MAX_ROWS = 20
"""Paths and reasons that a table shows; JSON has all."""


@contextmanager
def progress() -> Iterator[Watch | None]:
    """What is told of a pass that runs: a bar on a terminal, with documents a second and the time that is left."""
    context = click.get_current_context(silent=True)
    quiet = context is not None and bool((context.find_root().obj or {}).get("quiet"))
    if quiet or not coloured(sys.stderr):
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[rate]} docs/s"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[trouble]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        yield _Bars(bar)


class _Bars:
    """A bar for each pass."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._tasks: dict[int, TaskID] = {}

    def __call__(self, planned: Pass, told: Progress) -> None:
        if planned.number not in self._tasks:
            name = "deletions" if planned.compare else f"pass {planned.number}"
            self._tasks[planned.number] = self._bar.add_task(name, total=None, rate="", trouble="")
        task = self._tasks[planned.number]
        total = span_of(planned)
        elapsed = self._bar.tasks[self._bar.task_ids.index(task)].elapsed or 0.0
        rate = f"{told.counts.read / elapsed:,.0f}" if elapsed else ""
        finished = told.done == told.items
        completed = total if finished and total else min(told.counts.read, total or told.counts.read)
        self._bar.update(task, total=total, completed=completed, rate=rate, trouble=trouble_of(told))


def span_of(planned: Pass) -> int | None:
    """Sequence numbers of a pass: at least as many as documents; `None` where nobody knows."""
    if not planned.high:
        return None
    shards = [(index, shard, mark) for index, found in planned.high.items() for shard, mark in found.items()]
    return sum(mark - planned.low.get(index, {}).get(shard, 0) for index, shard, mark in shards) or 1


def trouble_of(told: Progress) -> str:
    """What slows a job down, or costs it documents."""
    counts = told.counts
    parts = [
        (counts.conflicts, f"{counts.conflicts:,} conflicts"),
        (counts.failed + counts.rejected, f"{counts.failed + counts.rejected:,} dead letters"),
        (counts.throttled >= 1, f"waited {counts.throttled:.0f} s"),
        (told.lost, f"{told.lost} workers lost"),
    ]
    return ", ".join(text for said, text in parts if said)


def emit_record(record: JobRecord, *, as_json: bool) -> None:
    """Prints what a job has done."""
    if as_json:
        emit_data(record_data(record), "json")
        return
    counts = record.result.counts
    row = {"job": record.job, **_row(counts), "docs/s": _rate(counts.read, record.seconds)}
    emit([row], {name: name for name in row}, "table")
    if counts.failed + counts.rejected:
        note(f"{counts.failed + counts.rejected} documents are dead letters: `headrace dead list`")
    if record.alias:
        note(f"[{record.alias}] names [{record.target}]; an index that had been the source takes no more writes")


def record_data(record: JobRecord) -> dict[str, Any]:
    """A job as JSON shows it."""
    counts = record.result.counts
    return {
        "job": record.job,
        "state": record.state,
        "source": record.source,
        "target": record.target,
        "pipeline": record.pipeline,
        "digest": record.digest,
        "passes": len(record.passes),
        "seconds": round(record.seconds, 3),
        "documents_per_second": _rate(counts.read, record.seconds),
        "cpu_us_per_document": round(counts.cpu * 1e6 / counts.read, 2) if counts.read else None,
        "counts": msgspec.to_builtins(counts),
        "reasons": record.result.reasons,
    }


def emit_diff(job: JobSpec, result: ItemResult, *, as_json: bool) -> None:
    """Prints what a job would change."""
    if as_json:
        emit_data({"source": job.source, "pipeline": job.pipeline, **msgspec.to_builtins(result)}, "json")
        return
    names = ("read", "same", "changed", "dropped", "failed")
    emit([msgspec.to_builtins(result.counts)], {name: name for name in names}, "table")
    for heading, found in (("path", result.paths), ("reason", result.reasons)):
        rows = [{heading: name, "documents": count} for name, count in _most(found)]
        if rows:
            click.echo()
            emit(rows, {heading: heading, "documents": "documents"}, "table")
    for sample in {each.outcome: each for each in reversed(result.samples)}.values():
        click.echo()
        emit_data(msgspec.to_builtins(sample), "yaml")


def _most(found: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(found.items(), key=lambda each: (-each[1], each[0]))[:MAX_ROWS]


def _row(counts: Counts) -> dict[str, int]:
    return {name: getattr(counts, name) for name in COUNTED if getattr(counts, name) or name in ("read", "written")}


def _rate(documents: int, seconds: float) -> int:
    return round(documents / seconds) if seconds else 0
