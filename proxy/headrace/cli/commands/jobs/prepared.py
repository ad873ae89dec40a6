"""A job from the options of a command: checked, with its code, its record and its engine."""

from __future__ import annotations

import signal
import threading
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from headrace.backfill import bundles, files, items, jobs, passes
from headrace.backfill.cluster import records
from headrace.backfill.cluster.aliases import check_alias
from headrace.backfill.cluster.journal import Journal
from headrace.backfill.cluster.link import Link
from headrace.backfill.spec import BackfillError, ConflictError, Connection, ItemResult, JobSpec
from headrace.cli.commands.jobs import engines
from headrace.cli.commands.jobs.options import check, normal, query_of
from headrace.cli.commands.jobs.resuming import command_of, ended, others_wait, resumed
from headrace.cli.errors import ExitCode, Failure
from headrace.cli.output import note
from headrace.client import target as targets
from headrace_pipelines.definition import DEAD_LETTERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from headrace.backfill.bundles import Chosen
    from headrace.backfill.cluster.records import JobRecord, Pass
    from headrace.backfill.engine import Engine, Progress
    from headrace.cli.commands.jobs.options import Options
    from headrace.cli.commands.jobs.resuming import Ended

    Watch = Callable[[Pass, Progress], None]


CALL_SECONDS = 60.0
"""Seconds for which a call of the job itself is repeated while the cluster is busy: a person waits."""


ENDING = (signal.SIGTERM, signal.SIGHUP)
"""Signals that ask a process to end: SIGHUP when its terminal is closed."""


class Prepared(NamedTuple):
    """A job that can run."""

    job: JobSpec
    link: Link
    engine: Engine
    workers: int
    slices: int
    mirror: bool
    journal: Journal | None

    def run(self, watch: Watch | None) -> JobRecord:
        """Runs the job to its end. Raises ClientError, UnreachableError, BackfillError."""
        assert self.journal is not None  # noqa: S101 - only a diff has none
        run = passes.Passes(
            self.job,
            self.journal,
            self.link,
            self.engine,
            workers=self.workers,
            slices=self.slices,
            mirror=self.mirror,
            watch=watch,
            waits=others_wait,
        )
        try:
            return run.run()
        except ConflictError:
            raise
        except BaseException:
            # What waits for a terminal that is gone must not hide the reason.
            with suppress(OSError):
                note(f"the job can go on: {command_of(self.journal.record)}")
            raise

    def diff(self, watch: Watch | None) -> ItemResult:
        """What the job would change. Raises ClientError, UnreachableError, BackfillError."""
        return passes.run_diff(self.job, self.link, self.engine, workers=self.workers, slices=self.slices, watch=watch)


@contextmanager
def ended_in_order() -> Iterator[None]:
    """What asks this process to end interrupts the block as Ctrl-C does: a source has to take writes again.

    It does so once, since a terminal that is closed, or a service manager, may ask several times. A signal that is
    ignored, as under nohup, stays so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = False

    def interrupt(_: int, __: object) -> None:
        nonlocal asked
        if not asked:
            asked = True
            raise KeyboardInterrupt

    ending = [each for each in ENDING if signal.getsignal(each) is not signal.SIG_IGN]
    before = {each: signal.signal(each, interrupt) for each in ending}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def prepare(options: Options) -> Iterator[Prepared | Ended]:
    """The job of the options. Raises Failure for options that do not fit together, and what the cluster says."""
    options = normal(options)
    try:
        files.check_files(options.source or "", options.report or "", options.dead_letters or "")
        connection, params = _connection(options)
        opened = engines.opened(options.engine, options.master, options.workers, options.at_once)
        with ended_in_order(), closing(Link(connection, CALL_SECONDS)) as link, opened as (engine, workers):
            yield _prepared(options._replace(workers=workers), engine, link, connection, params)
    except BackfillError as error:
        code, hint = ExitCode.FAILED, ""
        if isinstance(error, ConflictError):
            code, hint = ExitCode.CONFLICT, "end that process, or name --take-over: it stops then"
        raise Failure(error.reason, error.field, hint, code) from None


def _prepared(
    options: Options, engine: Engine, link: Link, connection: Connection, params: dict[str, str]
) -> Prepared | Ended:
    if options.diff and (options.resume or options.alias):
        raise Failure("--diff writes nothing: leave --resume and --swap-alias out", "diff", code=ExitCode.USAGE)
    if options.seize and not options.resume:
        raise Failure("belongs to --resume", "take_over", code=ExitCode.USAGE)
    name = options.resume
    journal = Journal.load(link, name, seize=options.seize, waits=_waits) if name else None
    if journal is None:
        return _begun(options, engine, link, connection, params, None)
    options = resumed(options, journal.record)
    # Before it looks whether the alias is over: a process that has the job still could switch it after that.
    journal.acquire()
    try:
        return _begun(options, engine, link, connection, params, journal)
    except BaseException as error:
        if journal.record.state != "done":
            journal.fail(error)
        raise


def _begun(
    options: Options,
    engine: Engine,
    link: Link,
    connection: Connection,
    params: dict[str, str],
    journal: Journal | None,
) -> Prepared | Ended:
    """The job of checked options; `journal`: of one that goes on, which this process has by now."""
    if journal is not None and (over := ended(link, journal)) is not None:
        return over
    check(options)
    chosen = _chosen(options)
    if journal is not None and journal.record.digest != chosen.bundle.digest:
        raise Failure(
            f"the code of [{chosen.label}] is not that with which the job began",
            hint="start a new job: two halves of an index must not come from two functions",
            code=ExitCode.CONFLICT,
        )
    job = _spec(options, chosen, connection, params, journal.record.job if journal is not None else records.new_id())
    if params:
        _refuse_attached(link, job)
    return _planned(options, engine, link, job, journal)


def _spec(options: Options, chosen: Chosen, connection: Connection, params: dict[str, str], name: str) -> JobSpec:
    return JobSpec(
        job=name,
        source=str(options.source),
        target=str(options.source if options.same_index else options.target or options.source),
        pipeline=chosen.label,
        bundle=chosen.bundle,
        cluster=connection,
        same_index=options.same_index,
        delete_dropped=options.delete_dropped,
        diff=options.diff,
        query=query_of(options.query),
        rate=options.rate / options.at_once if options.rate else 0.0,
        latency=float(options.latency or 0),
        replace=options.replace,
        stream=options.dead_letters or chosen.stream or DEAD_LETTERS,
        params=params,
        job_index="" if options.diff else records.JOB_INDEX,
        id_field=options.id_field or "",
    )


def _slices_of(options: Options, link: Link, job: JobSpec) -> int:
    """How many slices a source is read by; 0 for one that shows its sequence numbers, and for files."""
    slices = options.slices or 0
    if files.are_files(job.source):
        if options.diff and options.latency:
            note("a diff of files asks the cluster for nothing: --max-latency has no effect")
        return slices
    if not slices and not items.readable(link, job.source):
        slices = max(8, 2 * options.at_once)
        note(f"[{job.source}] does not show its sequence numbers: it is read by a scroll")
    if job.same_index and slices and not options.diff:
        raise Failure(
            "a part that is repeated would go through the pipeline twice: a scroll finds what the first attempt wrote",
            "in_place",
            "read by sequence numbers: leave --slices out, and name a node with --cluster",
        )
    return slices


def _planned(options: Options, engine: Engine, link: Link, job: JobSpec, journal: Journal | None) -> Prepared:
    """The job with what the indexes say: how the source can be read, and whether the target is empty."""
    from_files = files.are_files(job.source)
    sources = frozenset[str]() if from_files else items.indexes_of(link, job.source)
    slices = _slices_of(options, link, job)
    tombstones = journal.record.tombstones if journal is not None else False
    if not options.diff and journal is None and not job.same_index:
        job = msgspec.structs.replace(job, target=items.concrete(link, job.target, "target"))
    if not options.diff and not job.same_index and job.target in sources:
        # Also where an alias that is the source has gone over to the target since the job began.
        hint = "name --in-place" if journal is None else "start a new job from the index that the alias had"
        raise Failure("source and target are one index", "target", hint, ExitCode.USAGE)
    if not options.diff and journal is None and not job.same_index:
        # Statistics count what has been refreshed.
        link.json("POST", items.path_of(job.target, "_refresh"))
        tombstones = items.survey(link, job.target).documents > 0
    job = msgspec.structs.replace(job, tombstones=tombstones)
    if journal is None and tombstones and not job.replace:
        _refuse_filled(link, job, frozenset(map(files.real, files.paths_of(job.source))) if from_files else sources)
    mirror = not tombstones and not from_files if options.mirror is None else options.mirror
    if tombstones and options.mirror is None and not job.same_index and not from_files:
        note("the target is not empty: documents that the source lacks stay (--mirror deletes them)")
        if not job.replace:
            note("documents of the same version that something else has written stay (--replace writes them again)")
    if options.alias:
        _check_alias(link, options.alias, "" if from_files else job.source)
    if not options.diff and journal is None:
        journal = Journal.start(link, _record(options, job, sources))
        note(f"job {job.job}")
    return Prepared(job, link, engine, options.at_once, slices, mirror, journal)


def _waits(seconds: float) -> None:
    note(f"the record says that the job runs: for {seconds:.0f} s it is watched for a sign of its process")


def _refuse_filled(link: Link, job: JobSpec, sources: frozenset[str]) -> None:
    """Raises Failure where jobs with other code have copied the source there: equal versions hide the difference."""
    others = {label for digest, label in jobs.earlier(link, sources, job.target).items() if digest != job.bundle.digest}
    if others:
        raise Failure(
            f"[{job.target}] has documents of [{job.source}] by other code than [{job.pipeline}] is now: by "
            f"{', '.join(sorted(others))}",
            "target",
            "name a new target, or --replace to write every document again",
            ExitCode.CONFLICT,
        )


def _check_alias(link: Link, alias: str, source: str) -> None:
    """Raises Failure for a source whose last index takes writes whatever its settings say; BackfillError for no alias.

    `source`: empty for files, to which nobody writes.
    """
    check_alias(link, alias)
    streams = items.streams_of(link, source) if source else []
    if streams:
        raise Failure(
            f"[{source}] is of the data stream [{', '.join(streams)}], whose newest index cannot refuse writes",
            "swap_alias",
            "leave --swap-alias out, and switch the alias while nobody writes",
        )


def _record(options: Options, job: JobSpec, sources: frozenset[str]) -> JobRecord:
    return records.JobRecord(
        job=job.job,
        source=job.source,
        target=job.target,
        pipeline=job.pipeline,
        digest=job.bundle.digest,
        created=records.now(),
        same_index=job.same_index,
        delete_dropped=job.delete_dropped,
        tombstones=job.tombstones,
        replace=job.replace,
        query=job.query,
        alias=options.alias or "",
        mirror=options.mirror,
        stream=job.stream,
        slices=options.slices or 0,
        id_field=job.id_field,
        sources=sorted(sources),
    )


def _connection(options: Options) -> tuple[Connection, dict[str, str]]:
    """How workers find the cluster, and the parameters of their bulks: through a proxy, no pipeline of its own runs."""
    file = targets.find_file(Path.cwd())
    where = str(file) if file is not None and options.proxy else ""
    if options.cluster:
        return Connection(options.proxy, options.cluster, where), {}
    return Connection(options.proxy, options.url, where), {"pipeline": "_none"}


def _chosen(options: Options) -> Chosen:
    """The pipeline with its code, from a directory or the proxy."""
    name = str(options.pipeline)
    if options.state:
        from headrace.cli.commands.jobs.state import StateFolder

        return bundles.bundle_of(StateFolder(Path(options.state)), name)
    if options.folder:
        from headrace.cli.project_target import project_of

        project = project_of(Path(options.folder), options.proxy, options.url)
        return bundles.bundle_of(bundles.Directory(project.as_set()), name)
    with closing(bundles.Proxy(targets.load(options.proxy, options.url))) as origin:
        return bundles.bundle_of(origin, name)


def _refuse_attached(link: Link, job: JobSpec) -> None:
    """Raises Failure where a proxy would change what is read, or what is written, once more."""
    hint = "name a node with --cluster, to read and write without the proxy"
    kinds = () if files.are_files(job.source) else ("query", "result")
    read = [(job.source, kind, ("default", "final")) for kind in kinds]
    written = () if job.diff else ((job.target, "document", ("final",)),)
    for index, kind, slots in (*read, *written):
        found = link.json("GET", items.path_of(index, "_pipeline", "_resolve"))
        for name, about in found.items():
            for slot in slots:
                if slot in about.get(kind, {}):
                    label = about[kind][slot]["pipeline"]
                    raise Failure(f"[{name}] has the {slot} {kind} pipeline [{label}] at this proxy", hint=hint)
