"""What Spark itself costs over rows of Parquet: the same work by processes of this machine, and by data frames."""

from __future__ import annotations

import multiprocessing
import time
from typing import TYPE_CHECKING, Any

import msgspec

from benches.scale.measuring import BUNDLE, cpu_of_tree
from headrace.backfill import columns

if TYPE_CHECKING:
    from pathlib import Path

CODE = columns.Code("p@1", BUNDLE)
GROUP = 50_000
"""Rows of a row group: a part for one worker."""


def written(folder: Path, rows: int) -> Path:
    """A file of log documents of 240 bytes."""
    import pyarrow
    import pyarrow.parquet

    path = folder / f"rows-{rows}.parquet"
    if path.exists():
        return path
    schema = pyarrow.schema([("_id", pyarrow.string()), ("_source", pyarrow.string())])
    with pyarrow.parquet.ParquetWriter(path, schema) as file:
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
    return path


def _part(path: str, group: int) -> tuple[int, int]:
    import pyarrow.parquet

    rows = size = 0
    with pyarrow.parquet.ParquetFile(path) as file:
        for batch in columns.run(CODE, file.iter_batches(batch_size=10_000, row_groups=[group])):
            rows += batch.num_rows
            size += batch.nbytes
    return rows, size


def local(path: Path, workers: int) -> tuple[float, float]:
    """Seconds, and CPU seconds of all processes, of processes of this machine."""
    import pyarrow.parquet

    groups = pyarrow.parquet.ParquetFile(path).num_row_groups
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        pool.starmap(_part, [(str(path), 0)] * workers)
        return _timed(lambda: pool.starmap(_part, [(str(path), group) for group in range(groups)], chunksize=1))


def spark(path: Path, session: Any) -> tuple[float, float]:
    """The same by a data frame whose result Spark throws away."""
    from headrace.spark import apply

    def run() -> None:
        frame = session.read.parquet(str(path))
        apply(frame, "p@1", bundle=BUNDLE).write.format("noop").mode("overwrite").save()

    return _timed(run)


def _timed(work: Any) -> tuple[float, float]:
    began, cpu = time.monotonic(), cpu_of_tree()
    work()
    return time.monotonic() - began, cpu_of_tree() - cpu


def measure(folder: Path, rows: int, rounds: int) -> None:
    """Prints seconds and CPU seconds of both, round by round."""
    from headrace import spark as headrace_spark

    path = written(folder, rows)
    began = time.monotonic()
    with headrace_spark.running("local[2]") as session:
        session.sparkContext.setLogLevel("ERROR")
        print(f"{path.stat().st_size / 1e6:.0f} MB of Parquet; Spark starts in {time.monotonic() - began:.1f} s")
        spark(path, session)
        for number in range(rounds):
            ours, theirs = local(path, 2), spark(path, session)
            print(
                f"round {number}: {rows} rows: local {ours[0]:.1f} s ({ours[1]:.1f} s of CPU), Spark {theirs[0]:.1f} s "
                f"({theirs[1]:.1f} s of CPU): {100 * (theirs[0] / ours[0] - 1):+.0f} % and "
                f"{100 * (theirs[1] / ours[1] - 1):+.0f} % of CPU"
            )
