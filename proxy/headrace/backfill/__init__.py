"""Runs a pipeline over what is indexed already: reading by sequence numbers, idempotent writes, jobs that resume.

`run_item` is the whole of the work; an engine (processes of this machine, Spark, Ray) hands out items and adds results.
Nothing here imports the server.
"""

from headrace.backfill.kernel import run_item
from headrace.backfill.spec import Connection, ItemResult, JobSpec, WorkItem

__all__ = ["Connection", "ItemResult", "JobSpec", "WorkItem", "run_item"]
