"""Headrace on Apache Spark: indexes as data frames, pipelines over data frames, and jobs whose items are tasks.

Needs `pip install headrace[spark]` on the driver and on each executor. Credentials come from the environment of the
executors, or from a `headrace.toml` that is on each of them; they are never in a plan.
"""

try:
    import pyspark as _pyspark  # noqa: F401 - says at once what is missing
except ImportError as error:
    raise ImportError("headrace.spark needs PySpark: pip install headrace[spark]") from error

from headrace.spark.engine import SparkEngine, backfill, running, session
from headrace.spark.frames import apply, documents, summary
from headrace.spark.source import OpenSearch

__all__ = ["OpenSearch", "SparkEngine", "apply", "backfill", "documents", "running", "session", "summary"]
