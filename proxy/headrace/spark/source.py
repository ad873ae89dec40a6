"""The format `headrace` of data frames: an index by its items, and idempotent bulks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyspark.sql.datasource import (
    DataSource,
    DataSourceArrowWriter,
    DataSourceReader,
    InputPartition,
    WriterCommitMessage,
)

from headrace.backfill import columns
from headrace.backfill.spec import BackfillError, Counts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pyspark.sql.types import StructType

    from headrace.backfill.spec import WorkItem

SCHEMA = "_id STRING, _index STRING, _routing STRING, _seq_no BIGINT, _source STRING"
"""The columns of an index."""


class OpenSearch(DataSource):
    """Indexes as data frames: `spark.dataSource.register(OpenSearch)`, then the format `headrace`.

    Options: `index` (required), `url` or `target` (a table of `headrace.toml`, by default that of the environment),
    `file` (the path of that file); to read `query` (JSON), `workers` (for how many to cut items) or `slices`; to write
    `dead_letters` (a stream) and `pipeline` (`_none` for a proxy whose own pipelines are not to run).
    """

    @classmethod
    def name(cls) -> str:
        """The name of the format."""
        return "headrace"

    def schema(self) -> str:
        """The columns of an index. Raises BackfillError for options that are wrong."""
        columns.connection_of(self._checked()).load()
        return SCHEMA

    def reader(self, schema: StructType) -> _Reader:
        """Reads the index. Raises BackfillError for options that are wrong."""
        return _Reader(self._checked())

    def writer(self, schema: StructType, overwrite: bool) -> _Writer:
        """Writes to the index. Raises BackfillError for options that are wrong, and for the mode `overwrite`."""
        if overwrite:
            raise BackfillError("must be append: an index is never emptied by a write", "mode")
        return _Writer(self._checked())

    def _checked(self) -> dict[str, str]:
        return {str(name).lower(): value for name, value in self.options.items()}


@dataclass
class _Part(InputPartition):
    item: WorkItem


class _Reader(DataSourceReader):
    def __init__(self, options: Mapping[str, str]) -> None:
        self._job = columns.reading_job(options)
        self._workers = int(options.get("workers", 0))
        self._slices = int(options.get("slices", 0))

    def partitions(self) -> list[InputPartition]:
        """A partition for each item."""
        return [_Part(item) for item in columns.plan(self._job, workers=self._workers, slices=self._slices)]

    def read(self, partition: InputPartition) -> Iterator[Any]:
        """The documents of an item; an index without documents has no item."""
        return columns.read(self._job, partition.item) if isinstance(partition, _Part) else iter(())


@dataclass
class _Written(WriterCommitMessage):
    counts: Counts


class _Writer(DataSourceArrowWriter):
    def __init__(self, options: Mapping[str, str]) -> None:
        self._job = columns.writing_job(options)

    def write(self, iterator: Iterator[Any]) -> _Written:
        """Writes a partition. A second attempt has the effect of the first."""
        return _Written(columns.write(self._job, iterator))

    def commit(self, messages: list[WriterCommitMessage | None]) -> None:
        """Makes what is written searchable."""
        columns.refresh(self._job)

    def abort(self, messages: list[WriterCommitMessage | None]) -> None:
        """Leaves what is written: the next attempt finds it done."""
