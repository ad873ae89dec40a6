"""The engine of jobs on Spark: an item is a task of a stage without a shuffle."""

from __future__ import annotations

import os
import sys
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pyspark import AccumulatorParam, InheritableThread
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from headrace.backfill.engine import CANCEL_SECONDS, MAX_ATTEMPTS, TICK_SECONDS, Progress
from headrace.backfill.messages import attempt, result_of
from headrace.backfill.spec import BackfillError, Counts, ItemResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from headrace.backfill.spec import JobSpec, WorkItem


def session(master: str = "", name: str = "headrace") -> SparkSession:
    """The session of this process, or a new one on `master`, by default that of the configuration of Spark.

    A local master without a bound of failures gets one: else the first worker that ends would end the job.
    """
    builder = SparkSession.builder.appName(name)
    if master == "local" or master.startswith("local["):
        # Workers of this machine have the modules of this process, whatever `python3` is.
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        cores = master[len("local") :].strip("[]") or "1"
        master = f"local[{cores}]" if "," in cores else f"local[{cores},{MAX_ATTEMPTS}]"
    return (builder.master(master) if master else builder).getOrCreate()


@contextmanager
def running(master: str = "") -> Iterator[SparkSession]:
    """The session of this process, which goes on; or a new one, which ends with the block."""
    try:
        earlier = SparkSession.active()
    except PySparkException:
        earlier = None
    if earlier is not None:
        yield earlier
        return
    spark = session(master)
    try:
        yield spark
    finally:
        spark.stop()


class SparkEngine:
    """Hands out items as tasks. Spark repeats the tasks of workers that end; an item done twice is done once."""

    def __init__(self, spark: SparkSession) -> None:
        self._spark = spark

    def run(
        self, job: JobSpec, items: Sequence[WorkItem], watch: Callable[[Progress], None] | None = None
    ) -> ItemResult:
        """See [`headrace.backfill.engine.Engine`]. Raises BackfillError where Spark ends the work."""
        total = ItemResult()
        if items:
            for message in _Stage(self._spark, job, list(items)).messages(watch):
                total.add(result_of(message))
        return total


class _Sum(AccumulatorParam[Counts]):
    """The counts of items that are done."""

    def zero(self, value: Counts) -> Counts:
        return Counts()

    def addInPlace(self, value1: Counts, value2: Counts) -> Counts:  # noqa: N802 - a name of Spark
        value1.add(value2)
        return value1


class _Stage:
    """The items of a pass as one stage of Spark."""

    def __init__(self, spark: SparkSession, job: JobSpec, items: list[WorkItem]) -> None:
        self._spark = spark
        self._group = f"headrace-{uuid.uuid4().hex[:12]}"
        self._count = len(items)
        self._rows: list[Any] = []
        self._error: Exception | None = None
        counted = self._counted = spark.sparkContext.accumulator(Counts(), _Sum())

        def work(batches: Iterator[Any]) -> Iterator[Any]:
            import pyarrow

            for batch in batches:
                done = [attempt(job, items[row], counted.add) for row in batch.column(0).to_pylist()]
                yield pyarrow.RecordBatch.from_pydict({"message": pyarrow.array(done, pyarrow.binary())})

        # A range needs no worker of its own: the tasks are of one stage, with one row each.
        self._frame = spark.range(0, self._count, 1, self._count).mapInArrow(work, "message BINARY")

    def messages(self, watch: Callable[[Progress], None] | None) -> list[bytes]:
        """What the tasks say. Raises BackfillError where Spark ends the stage."""
        thread = InheritableThread(target=self._collect, name="headrace-spark")
        thread.start()
        try:
            running = True
            while running:
                thread.join(TICK_SECONDS)
                running = thread.is_alive()
                if watch is not None:
                    watch(Progress(self._counted.value, self._done(), self._count, 0))
        except BaseException:
            self._spark.sparkContext.cancelJobGroup(self._group)
            # An item that still writes must not outlive the job.
            thread.join(CANCEL_SECONDS)
            raise
        if self._error is not None:
            raise BackfillError(f"Spark ends the job: {_reason(self._error)}") from self._error
        return [bytes(row.message) for row in self._rows]

    def _collect(self) -> None:
        self._spark.sparkContext.setJobGroup(self._group, "headrace backfill", interruptOnCancel=True)
        try:
            self._rows = self._frame.collect()
        except PySparkException as error:
            self._error = error
        except Exception as error:  # noqa: BLE001 - of the bridge to the JVM; the caller says it
            self._error = error

    def _done(self) -> int:
        tracker = self._spark.sparkContext.statusTracker()
        done = 0
        for number in tracker.getJobIdsForGroup(self._group):
            about = tracker.getJobInfo(number)
            for stage in about.stageIds if about is not None else ():
                running = tracker.getStageInfo(stage)
                done += running.numCompletedTasks if running is not None else 0
        return min(done, self._count)


def _reason(error: Exception) -> str:
    """The first lines of an error: what follows are frames of the JVM."""
    return " ".join(str(error).split("\n\tat ")[0].split())[:500]


def backfill(spark: SparkSession, job: JobSpec, items: Sequence[WorkItem]) -> ItemResult:
    """Does items of a job on Spark, each as a task, and adds up their results. See [`SparkEngine.run`]."""
    return SparkEngine(spark).run(job, items)
