"""Pipelines over data frames: each partition in the worker that has it, by Arrow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyspark.sql import functions
from pyspark.sql.types import StringType, StructField, StructType

from headrace.backfill import columns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import DataFrame

    from headrace.backfill.spec import Connection
    from headrace_pipelines import Bundle

SUMMARY = "kind STRING, name STRING, documents BIGINT"
"""The columns of a summary."""


def apply(
    df: DataFrame,
    pipeline: str,
    *,
    bundle: Bundle | None = None,
    connection: Connection | None = None,
    keep_before: bool = False,
) -> DataFrame:
    """What a document pipeline makes of the rows of `df`, which has a column `_source` of JSON texts.

    `pipeline`: `name` or `name@version`, of `bundle`, or of the proxy that `connection` or the environment names; its
    code is fetched once, by this process. Every column stays; `_source` is `null` for documents that are dropped or
    failed, `outcome` and `reason` say which, `before` is the text as it was. Each worker compiles the pipeline once.
    Raises ClientError, MissingError, and BackfillError for columns that do not fit.
    """
    code = columns.Code.of(pipeline, bundle, connection)
    kept = columns.kept_columns(df.columns, keep_before=keep_before)
    added = (*columns.RESULTS, *((columns.BEFORE,) if keep_before else ()))
    schema = StructType([df.schema[name] for name in kept] + [StructField(name, StringType()) for name in added])

    def run(batches: Iterator[Any]) -> Iterator[Any]:
        return columns.run(code, batches, keep_before=keep_before)

    return df.mapInArrow(run, schema)


def documents(df: DataFrame, id_column: str | None = None) -> DataFrame:
    """The rows of a table as documents: `_id` and `_source`, the JSON text of all columns.

    `_id` is the text of `id_column`, else a hash of `_source`, so that reading the table again gives the same ids.
    """
    source = functions.to_json(functions.struct("*"), {"ignoreNullFields": "false"})
    id_ = functions.substring(functions.sha2(source, 256), 1, 40) if id_column is None else functions.col(id_column)
    return df.select(id_.cast("string").alias(columns.ID), source.alias(columns.SOURCE))


def summary(applied: DataFrame) -> DataFrame:
    """How many rows of `apply(…, keep_before=True)` have which outcome, changed path and failure.

    Columns `kind` (`outcome`, `path` or `reason`), `name` and `documents`, for example `path, ~ host.ip, 1200`.
    """
    parts = applied.select(columns.OUTCOME, columns.REASON, columns.BEFORE, columns.SOURCE)
    counted = parts.mapInArrow(columns.summarize, SUMMARY)
    return counted.groupBy("kind", "name").agg(functions.sum("documents").alias("documents"))
