"""What Spark itself costs over rows of Parquet: the same work by processes of this machine, and by data frames."""

from __future__ import annotations

import multiprocessing
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from benches.scale.measuring import BUNDLE, Beside, cpu_by_process
from headrace.backfill import columns
from headrace.backfill.cluster.records import Pass
from headrace.backfill.engine import LocalEngine
from headrace.backfill.files import marks_of
from headrace.backfill.items import items_of
from headrace.backfill.spec import JobSpec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CODE = columns.Code("p@1", BUNDLE)
GROUP = 50_000
"""Rows of a row group: a part for one worker."""
WORKERS = 2
SAMPLE_SECONDS = 1.0
"""Seconds between two looks at the processes."""
WARM = 100_000
"""Rows of the first run, in which processes start and code is compiled."""


class Used(NamedTuple):
    """Seconds on the clock, and of the processor in all processes."""

    seconds: float
    cpu: float

    @property
    def text(self) -> str:
        """Both."""
        return f"{self.seconds:.1f} s ({self.cpu:.1f} s of CPU)"


def written(folder: Path, rows: int) -> Path:
    """A file of log documents of 240 bytes."""
    import pyarrow
    import pyarrow.parquet

    path = folder / f"rows-{rows}.parquet"
    if path.exists():
        return path
    schema = pyarrow.schema([("_id", pyarrow.string()), ("_source", pyarrow.string())])
    part = path.with_suffix(".part")
    with pyarrow.parquet.ParquetWriter(part, schema) as file:
        for start in range(0, rows, GROUP):
            numbers = range(start, min(rows, start + GROUP))
            texts = [
                msgspec.json.encode(
                    {
                        "level": ("INFO", "DEBUG", "WARN", "ERROR")[n % 4],
                        "message": f"request {n} of service-{n % 50} took {n % 977} ms and returned {200 + n % 5}",
                        "host": {"name": f"host-{n % 100}", "ip": f"10.0.{n % 256}.{n % 199}"},
                        "trace": f"{n * 2654435761 % 2**32:08x}{n:024x}",
                        "pad": "lorem ipsum dolor sit amet ",
                    }
                ).decode()
                for n in numbers
            ]
            ids = [f"d{n}" for n in numbers]
            file.write_table(pyarrow.table([ids, texts], schema=schema), row_group_size=GROUP)
    return part.rename(path)


def _part(path: str, group: int) -> tuple[int, int]:
    import pyarrow.parquet

    rows = size = 0
    with pyarrow.parquet.ParquetFile(path) as file:
        for batch in columns.run(CODE, file.iter_batches(batch_size=10_000, row_groups=[group])):
            rows += batch.num_rows
            size += batch.nbytes
    return rows, size


def frames(path: Path, session: Any) -> tuple[Used, Used]:
    """Results as columns: by processes of this machine, which discard them, and by a data frame that Spark discards.

    Spark reads the file, and hands rows over and takes them back by Arrow.
    """
    import pyarrow.parquet

    from headrace.spark import apply

    groups = pyarrow.parquet.ParquetFile(path).num_row_groups
    with multiprocessing.get_context("spawn").Pool(WORKERS) as pool:
        pool.starmap(_part, [(str(path), 0)] * WORKERS)
        local = _timed(lambda: pool.starmap(_part, [(str(path), group) for group in range(groups)], chunksize=1))
    frame = apply(session.read.parquet(str(path)), "p@1", bundle=BUNDLE)
    return local, _timed(lambda: frame.write.format("noop").mode("overwrite").save())


def jobs(path: Path, session: Any) -> tuple[Used, Used]:
    """`headrace backfill --diff` over the file: the engine of this machine, and Spark."""
    from headrace.spark import SparkEngine

    job = JobSpec(job="parquet", source=str(path), target="logs", pipeline="p@1", bundle=BUNDLE, diff=True)
    planned = Pass(number=1, high=marks_of(str(path)), files=True)
    items = items_of(planned, str(path), frozenset())
    with LocalEngine(WORKERS) as engine:
        engine.run(job, items[:WORKERS])
        local = _timed(lambda: engine.run(job, items))
    return local, _timed(lambda: SparkEngine(session).run(job, items))


def _timed(work: Callable[[], object]) -> Used:
    """What a function uses in all processes, also in those that end before it does."""
    before, after = cpu_by_process(), dict[tuple[int, str], float]()
    over = threading.Event()

    def sample() -> None:
        while not over.wait(SAMPLE_SECONDS):
            after.update(cpu_by_process())

    thread = threading.Thread(target=sample)
    thread.start()
    began = time.monotonic()
    work()
    seconds = time.monotonic() - began
    over.set()
    thread.join()
    after.update(cpu_by_process())
    return Used(seconds, sum(used - before.get(process, 0.0) for process, used in after.items()))


def measure(folder: Path, rows: int, rounds: int) -> list[Beside]:
    """Seconds and CPU seconds of all processes, the JVM too, round by round; the start of Spark is printed alone.

    What runs first compiles code in the JVM, for about ten seconds of CPU: it is over a smaller file, and not counted.
    """
    from headrace import spark as headrace_spark

    path, small = written(folder, rows), written(folder, WARM)
    began = time.monotonic()
    found: list[Beside] = []
    with headrace_spark.running(f"local[{WORKERS}]") as session:
        session.sparkContext.setLogLevel("ERROR")
        started = Used(time.monotonic() - began, sum(cpu_by_process().values()))
        print(f"{path.stat().st_size / 1e6:.0f} MB of Parquet; the start of Spark: {started.text}")
        for number in range(-1, rounds):
            for measured in (jobs, frames):
                local, spark = measured(path if number >= 0 else small, session)
                shown = f"local {local.text}; on Spark {spark.text}: {100 * (spark.cpu / local.cpu - 1):+.0f} % of CPU"
                print(f"round {number}, {measured.__name__}: {shown}", flush=True)
                if number >= 0:
                    found.append(Beside(what=measured.__name__, rows=rows, local=local, spark=spark))
    return found
