"""A job from its first pass to the switch of an alias.

The first pass reads all; each later one reads what was written since, until little is left. Then documents leave the
target that the source lacks. To switch an alias, writes to the source are refused for the last pass: what is written
after it would be nowhere.
"""

from __future__ import annotations

import time
from contextlib import closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from headrace.backfill import files, items
from headrace.backfill.cluster import retention
from headrace.backfill.cluster.aliases import holders, switch_alias
from headrace.backfill.cluster.holds import Hold, release
from headrace.backfill.cluster.journal import BEAT_SECONDS, Journal
from headrace.backfill.cluster.link import Link
from headrace.backfill.cluster.records import JOB_INDEX, Pass
from headrace.backfill.cluster.retention import remembered_deletes
from headrace.backfill.spec import BackfillError, ConflictError, ItemResult
from headrace.client.errors import ClientError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from headrace.backfill.cluster.records import JobRecord
    from headrace.backfill.engine import Engine, Progress
    from headrace.backfill.items import Survey
    from headrace.backfill.spec import JobSpec

FEW = 1000
"""Documents of a pass after which another one is not worth it: it would find about as many."""
BLOCK = "index.blocks.write"
"""The setting of an index that refuses writes."""
MAX_PASSES = 20
"""Passes over what was written since: more of them do not catch up with writers that are faster than the job."""


class Passes:
    """A job that runs.

    `workers`: how many items are at work at once. `slices`: items of a source without sequence numbers. `mirror`:
    whether the target loses what the source lacks. `waits`: is told the seconds for which other jobs are watched.
    """

    def __init__(
        self,
        job: JobSpec,
        journal: Journal,
        link: Link,
        engine: Engine,
        *,
        workers: int,
        slices: int = 0,
        mirror: bool = True,
        watch: Callable[[Pass, Progress], None] | None = None,
        waits: Callable[[float], None] | None = None,
    ) -> None:
        self._job = job
        self._journal = journal
        self._link = link
        self._engine = engine
        self._workers = workers
        self._slices = slices
        self._mirror = mirror
        self._watch = watch
        self._at_work = partial(Journal.at_work, link, waits=waits)
        self._remember: Callable[[], None] | None = None
        self._files = files.are_files(job.source)

    @property
    def _record(self) -> JobRecord:
        return self._journal.record

    def run(self) -> JobRecord:
        """Runs or resumes the job. Raises ClientError, UnreachableError, BackfillError; the record says so."""
        renewing = Link(self._job.cluster, 0.0, timeout=BEAT_SECONDS)
        with closing(renewing), self._journal.renewed(renewing):
            started = time.monotonic() - self._record.seconds
            try:
                self._run()
            except BaseException as error:
                self._record.seconds = time.monotonic() - started
                self._journal.fail(error)
                raise
            self._record.state, self._record.seconds = "done", time.monotonic() - started
            self._journal.save()
            return self._record

    def _run(self) -> None:
        # Preparing may have taken longer than a lease.
        self._journal.save()
        if (
            not self._slices
            and not self._files
            and items.primary_only(self._link, f"{self._job.source},{self._job.target}")
        ):
            # Replicas that copy segments may lack what a refresh has shown.
            self._job = msgspec.structs.replace(self._job, preference="_primary")
        if self._job.same_index or self._files:
            self._passes()
            return
        target = self._hold(self._job.target, retention.SETTING, retention.VALUE)
        with remembered_deletes(target) as self._remember:
            with self._earlier_block():
                self._passes()
            # What is left behind belongs to the process that has the job.
            self._journal.save()

    def _hold(self, index: str, setting: str, value: str) -> Hold:
        return Hold(self._link, self._record.job, index, setting, value, store=JOB_INDEX, at_work=self._at_work)

    def _passes(self) -> None:
        if self._record.passes and not self._record.passes[-1].done:
            self._pass(self._record.passes[-1])
        if self._job.same_index or self._slices or self._files:
            # In place, a later pass would meet what the first one wrote; slices and files cannot say what is new.
            if not self._record.passes:
                self._pass(self._next())
        else:
            self._catch_up()
        compared = self._compare() if self._mirror and not self._job.same_index else None
        if self._record.alias and self._files:
            self._switch_alias([])
        elif self._record.alias:
            with self._blocked() as holds:
                self._finish(compared, holds)
        if not self._job.same_index:
            self._link.json("POST", items.path_of(self._job.target, "_refresh"))

    def _catch_up(self) -> None:
        """Passes until one finds few documents."""
        while True:
            number = sum(not each.compare for each in self._record.passes)
            result = self._pass(self._next())
            if (number and result.counts.read <= FEW) or number >= MAX_PASSES:
                return

    def _next(self, survey: Survey | None = None) -> Pass:
        """The next pass, over what the passes before have not seen."""
        number = len(self._record.passes) + 1
        if self._files:
            return self._stored(Pass(number=number, high=files.marks_of(self._job.source), files=True))
        if self._slices:
            self._link.json("POST", items.path_of(self._job.source, "_refresh"))
            return self._stored(Pass(number=number, slices=self._slices))
        earlier = [each for each in self._record.passes if not each.compare]
        low = earlier[-1].high if earlier else {}
        survey = survey or items.survey(self._link, self._job.source)
        if not self._job.same_index and self._job.target in survey.marks:
            raise BackfillError(f"[{self._job.source}] names the target [{self._job.target}] by now", "source")
        operations = survey.operations - sum(mark for shards in low.values() for mark in shards.values())
        size = items.item_size(operations, self._workers)
        return self._stored(Pass(number=number, low=low, high=survey.marks, size=size))

    def _stored(self, planned: Pass) -> Pass:
        self._record.passes.append(planned)
        self._journal.save()
        return planned

    def _pass(self, planned: Pass) -> ItemResult:
        """Runs the items of a pass, and adds their counts to those of the job."""
        if self._remember is not None:
            self._remember()
        index = self._job.target if planned.compare else self._job.source
        work = items.items_of(planned, index, frozenset(planned.high) if self._job.preference else frozenset())
        watch = self._watch

        def told(progress: Progress) -> None:
            self._journal.beat()
            if watch is not None:
                watch(planned, progress)

        result = self._engine.run(self._job, work, told)
        self._record.result.add(result)
        planned.done = True
        self._journal.save()
        return result

    def _compare(self) -> Survey | None:
        """Deletes from the target what the source lacks; gives the state of the source that it was compared with."""
        source = None if self._slices else items.survey(self._link, self._job.source)
        self._link.json("POST", items.path_of(self._job.source, "_refresh"))
        found = items.survey(self._link, self._job.target)
        # What clients write from now on has later numbers. An earlier process of the job may have asked for the switch
        # before this one had the job, and been answered since.
        if overtaken(self._link, self._record):
            raise BackfillError(
                f"the alias [{self._record.alias}] names [{self._record.target}]: what clients have written there "
                "would be deleted",
                "swap_alias",
            )
        size = items.item_size(found.operations, self._workers)
        number = len(self._record.passes) + 1
        self._pass(self._stored(Pass(number=number, high=found.marks, size=size, compare=True)))
        return source

    @contextmanager
    def _blocked(self) -> Iterator[list[Hold]]:
        """Writes to the source are refused; they stay refused when the alias has another index.

        Another job that needs that as well, or somebody who had them refused before, keeps it when this one fails.
        Raises BackfillError where a write may still be under way, or where writes stay refused after an error. Where
        another process has the job by now, the block is its own.
        """
        holds = self._blocks()
        indexes = ",".join(hold.index for hold in holds)
        with self._lifted_on_failure(holds):
            for hold in holds:
                hold.acquire()
            answer = self._link.json("PUT", items.path_of(indexes, "_block", "write"))
            # A block that was there before is acknowledged, but not by shards.
            if not answer["acknowledged"]:
                raise BackfillError(f"not every shard of [{indexes}] refuses writes", "source")
            yield holds
        # Another process that has the job by now settles them.
        self._journal.save()
        for hold in holds:
            hold.settle()

    def _blocks(self) -> list[Hold]:
        """The needs of the job for a block of writes to each index of the source."""
        # An alias may name the target at the end.
        names = sorted(items.indexes_of(self._link, self._job.source)) or [self._job.source]
        return [self._hold(name, BLOCK, "true") for name in names]

    @contextmanager
    def _earlier_block(self) -> Iterator[None]:
        """Lifts the block of an earlier process of the job that was killed within it.

        Where that process may have asked for the switch of the alias, writes stay refused: they would be nowhere if the
        cluster answered late. They are let through where the job fails.
        """
        holds = self._blocks() if self._record.alias else []
        if not self._record.switching:
            release(holds, self._at_work)
            holds = []
        with self._lifted_on_failure(holds):
            yield

    @contextmanager
    def _lifted_on_failure(self, holds: Sequence[Hold]) -> Iterator[None]:
        """Has the source take writes again where the block fails, unless its alias has gone over."""
        try:
            yield
        except BaseException as error:
            if not holds or isinstance(error, ConflictError) or not self._journal.held():
                raise
            try:
                if not switched(self._link, self._record):
                    release(holds, self._at_work)
            except (ClientError, UnreachableError, KeyboardInterrupt) as failed:
                indexes = ",".join(hold.index for hold in holds)
                raise BackfillError(
                    f"{str(error) or type(error).__name__}; [{indexes}] may still refuse writes, as index.blocks.write "
                    f"of its settings says: {str(failed) or type(failed).__name__}"
                ) from error
            raise

    def _finish(self, compared: Survey | None, holds: Sequence[Hold]) -> None:
        """The last pass over a source that nobody writes to, and the switch of the alias."""
        if self._slices:
            self._pass(self._next())
            if self._mirror:
                self._compare()
        else:
            survey = items.settled_survey(self._link, self._job.source)
            planned = self._next(survey)
            before = sum(mark for shards in planned.low.values() for mark in shards.values())
            result = self._pass(planned)
            # Where each operation since is a document that is there, none was a deletion.
            if self._mirror and (compared is None or result.counts.read != survey.operations - before):
                self._compare()
        self._link.json("POST", items.path_of(self._job.target, "_refresh"))
        self._switch_alias(holds)

    def _switch_alias(self, holds: Sequence[Hold]) -> None:
        source = () if self._files else items.survey(self._link, self._job.source).marks
        if not all(hold.in_force() for hold in holds):
            raise BackfillError(
                "the source took writes before the alias was switched: somebody lifted its block", "source"
            )
        # Whoever has the job switches the alias: nothing that takes long comes between.
        self._record.switching = [hold.index for hold in holds]
        self._journal.save()
        switch_alias(self._link, self._record.alias, frozenset(source), self._job.target)


def switched(link: Link, record: JobRecord) -> bool:
    """Whether the job has had its alias name the target: nothing may run any more. Raises ClientError."""
    return bool(record.switching) and overtaken(link, record)


def overtaken(link: Link, record: JobRecord) -> bool:
    """Whether the alias of a job names the target, and no index of the source. Raises ClientError.

    Nothing is deleted for files, so that their jobs may go on.
    """
    if not record.alias or files.are_files(record.source):
        return False
    sources = {index for each in record.passes if not each.compare for index in each.high}
    sources |= {*record.switching, *record.sources, *record.source.split(",")}
    held = holders(link, record.alias)
    return record.target in held and not any(index in held for index in sources)


def finish(link: Link, journal: Journal, waits: Callable[[float], None] | None = None) -> JobRecord:
    """Notes that a job is done whose alias names the target. Raises ClientError, UnreachableError, ConflictError."""
    record = journal.record
    journal.save()
    hold = partial(Hold, link, record.job, store=JOB_INDEX, at_work=partial(Journal.at_work, link, waits=waits))
    for index in record.switching:
        hold(index, BLOCK, "true").settle()
    hold(record.target, retention.SETTING, retention.VALUE).release()
    link.json("POST", items.path_of(record.target, "_refresh"))
    record.state = "done"
    journal.save()
    return record


def run_diff(
    job: JobSpec,
    link: Link,
    engine: Engine,
    *,
    workers: int,
    slices: int = 0,
    watch: Callable[[Pass, Progress], None] | None = None,
) -> ItemResult:
    """What a job would change. Nothing is written, not even a record. Raises ClientError, UnreachableError."""
    planned = Pass(number=1, slices=slices)
    primary = frozenset[str]()
    if files.are_files(job.source):
        planned.high, planned.files = files.marks_of(job.source), True
    elif not slices:
        survey = items.survey(link, job.source)
        primary = items.primary_only(link, job.source)
        planned.high, planned.size = survey.marks, items.item_size(survey.operations, workers)
    work = items.items_of(planned, job.source, primary)
    quiet = msgspec.structs.replace(job, job_index="", diff=True)
    return engine.run(quiet, work, (lambda progress: watch(planned, progress)) if watch is not None else None)
