"""The engine that a job is to run on."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from headrace.backfill.engine import LocalEngine
from headrace.cli.errors import ExitCode, Failure
from headrace.cli.output import note

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.backfill.engine import Engine


@contextmanager
def opened(name: str, master: str | None, workers: int | None, local_workers: int) -> Iterator[tuple[Engine, int]]:
    """The engine, and how many items it has at work at once. Raises Failure for options that do not fit.

    `workers`: as they were asked for; a cluster decides itself how many it has.
    """
    if name == "local":
        if master:
            raise Failure("belongs to --engine spark and ray", "master", code=ExitCode.USAGE)
        with LocalEngine(local_workers) as engine:
            yield engine, local_workers
        return
    if workers:
        hint = "for example --master 'local[4]'" if name == "spark" else "the CPUs of the cluster are its workers"
        raise Failure("belongs to --engine local: a cluster has its own", "workers", hint, ExitCode.USAGE)
    with _spark(master or "") if name == "spark" else _ray(master or "") as (engine, count):
        note(f"{name}: {count} items at once")
        yield engine, count


@contextmanager
def _spark(master: str) -> Iterator[tuple[Engine, int]]:
    try:
        from headrace import spark
    except ImportError as error:
        raise Failure(str(error), "engine") from None
    with spark.running(master) as session:
        yield spark.SparkEngine(session), int(session.sparkContext.defaultParallelism)


@contextmanager
def _ray(master: str) -> Iterator[tuple[Engine, int]]:
    if not master:
        # Tasks on this machine run in this very environment. Ray reads the variable when it is imported; without it
        # tasks of a process below `uv run` wait for an environment that `uv run` makes of a copy of the directory.
        os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    try:
        from headrace import ray
    except ImportError as error:
        raise Failure(str(error), "engine") from None
    with ray.running(master) as count:
        yield ray.RayEngine(), count
