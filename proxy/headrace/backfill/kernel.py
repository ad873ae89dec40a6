"""The work of a worker: an item read, run and written, page by page, then checked off."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from headrace.backfill import files, jobs
from headrace.backfill.cluster import reading
from headrace.backfill.cluster.dead import PERMANENT, keep, letter
from headrace.backfill.cluster.link import Backoff, Link
from headrace.backfill.cluster.pace import Pace
from headrace.backfill.cluster.writing import Refusal, changes, copies, deletion, send
from headrace.backfill.diff import compare
from headrace.backfill.spec import BackfillError, ItemResult, count_bounded
from headrace.protocol.indices.dead_letter_record import Fault
from headrace_pipelines import Pipelines

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headrace.backfill.cluster.reading import Hit, Page
    from headrace.backfill.spec import Counts, JobSpec, WorkItem
    from headrace.protocol.indices.dead_letter_record import DeadLetter
    from headrace_pipelines import BulkOutcome

KEPT = frozenset({"same", "changed"})
"""States of documents that a bulk writes."""
MAX_LOSSES = 10
"""Attempts at a slice that come no further, at least, for as long as a call has patience: a node may begin again."""
RUN_SECONDS = 600.0
"""Seconds for a page in the pipeline: a bound for code that hangs; stages have limits of their own."""
UNFIT = "document_parsing_exception"
"""The type of the error of what is no document."""
MOVED = (
    "the pipeline changes the _id, the _index or the _routing of the document, or makes several of it: "
    "what an earlier pass wrote would stay, so a job writes each document under its own"
)


def run_item(job: JobSpec, item: WorkItem, *, progress: Callable[[Counts], None] | None = None) -> ItemResult:
    """Does an item, and checks it off where the job has an index for that. Doing it twice has the effect of once.

    `progress` is told the counts after each page. Compiles the pipeline once in a process, and keeps its connection.
    Raises ClientError, UnreachableError, BackfillError, and InvalidError for a pipeline that does not compile.
    """
    link = Link.shared(job.cluster, job.patience)
    if job.job_index and (earlier := jobs.result_of(link, job, item)) is not None:
        return earlier
    first, losses = reading.FIRST_DOCUMENTS, _Losses(job.patience)
    while True:
        run = _Run(job, item, link)
        try:
            for page in files.pages(job, item) if item.file else reading.pages(link, job, item, first=first):
                run.page(page)
                if progress is not None:
                    progress(run.result.counts)
            break
        except reading.LostPageError as error:
            # In place, documents that are written already would go through the pipeline again.
            if job.same_index and not job.diff:
                raise
            if isinstance(error, reading.LongPageError):
                first = error.shorter
                continue
            if not losses.another(run.result.counts.read):
                raise
    run.settle()
    if job.job_index:
        jobs.check_off(link, job, item, run.result)
    return run.result


class _Losses:
    """Pages of a slice that were lost. Waits grow, and attempts count, until one comes further than all before."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._furthest = -1
        self._count = 0
        self._reset()

    def _reset(self) -> None:
        self._count, self._until = 0, time.monotonic() + self._patience
        # A slice takes as long as it has documents: the time of an attempt is no reason not to wait after it.
        self._backoff = Backoff(math.inf)

    def another(self, read: int) -> bool:
        """Waits before another attempt, after one that has read so many documents; says whether there is to be one."""
        if read > self._furthest:
            self._furthest = read
            self._reset()
        self._count += 1
        if self._count >= MAX_LOSSES and time.monotonic() >= self._until:
            return False
        return self._backoff.wait()


class _Run:
    def __init__(self, job: JobSpec, item: WorkItem, link: Link) -> None:
        self.job = job
        self.item = item
        self.link = link
        self.result = ItemResult()
        self._pipelines = Pipelines.shared(job.bundle)
        folder = files.is_folder(job.stream) and not job.diff
        self._dead = files.DeadLetterFiles(job.stream, job, item) if folder else None
        self._cpu = time.thread_time()
        self._throttled = link.throttled
        self._pace = Pace(job, link, self._index)

    @property
    def _index(self) -> str:
        """The index that the item burdens most; none where it reads files and writes nothing."""
        if self.item.file and self.job.diff:
            return ""
        return self.job.target if self.item.file or self.item.compare else self.job.source

    def page(self, page: Page) -> None:
        """Runs and writes the documents of a page."""
        counts = self.result.counts
        if self.item.compare:
            self._mirrored(page.hits)
        else:
            counts.read += len(page.hits) + len(page.broken)
            counts.bytes += page.bytes
            if page.broken:
                self._unfit(page.broken)
            if page.hits:
                self._processed(page.hits)
        self._pace.after(len(page.hits) + len(page.broken))
        self.settle()

    def _processed(self, hits: Sequence[Hit]) -> None:
        if self.job.diff:
            self._compared(hits)
        elif self.job.same_index:
            self._changed(hits)
        else:
            self._copied(hits)

    def _unfit(self, broken: Sequence[tuple[Hit, str]]) -> None:
        """Rows of files that are no documents fail by themselves; the others go on."""
        faults = [Fault("pipeline", 400, UNFIT, reason, self.job.pipeline) for _, reason in broken]
        self.result.counts.failed += len(faults)
        for fault in faults:
            # Rows of a file with one fault are of one reason.
            count_bounded(self.result.reasons, f"{fault.type}: {fault.reason.partition(': ')[2][:200]}")
        hits = [hit for hit, _ in broken]
        if self.job.diff:
            compare(self.result, hits, ["failed"] * len(hits), [None] * len(hits), dict(enumerate(faults)))
        else:
            self._keep([letter(self.job, hit, fault) for hit, fault in zip(hits, faults, strict=True)])

    def settle(self) -> None:
        """Adds what time the item has cost so far."""
        counts = self.result.counts
        counts.cpu = time.thread_time() - self._cpu
        counts.throttled = self.link.throttled - self._throttled + self._pace.slept

    def _ran(self, hits: Sequence[Hit], body: bytes, index: str) -> tuple[BulkOutcome, dict[int, Fault]]:
        """What the pipeline makes of a bulk, and the faults of documents that cannot be written, by position."""
        outcome = self._pipelines.run_bulk(self.job.pipeline, body, index=index, timeout=RUN_SECONDS, final=True)
        faults = {
            each.position: Fault("pipeline", each.status, each.type, each.reason, self.job.pipeline, each.stage)
            for each in outcome.failures
        }
        for position, state in enumerate(outcome.states):
            if state == "moved":
                faults[position] = Fault("pipeline", 400, "illegal_argument_exception", MOVED, self.job.pipeline)
        self.result.counts.dropped += outcome.states.count("dropped")
        self.result.counts.failed += len(faults)
        for fault in faults.values():
            count_bounded(self.result.reasons, f"{fault.type}: {fault.reason[:200]}")
        return outcome, faults

    def _copied(self, hits: Sequence[Hit]) -> None:
        replace = self.job.replace
        outcome, faults = self._ran(hits, copies(hits, replace=replace), self.job.target)
        body, positions = bytes(outcome.body), [i for i, state in enumerate(outcome.states) if state in KEPT]
        if "moved" in outcome.states:
            body = b"".join(pair for pair, kept in _pairs(outcome) if kept)
        gone = [i for i, state in enumerate(outcome.states) if state not in KEPT] if self._cleans else []
        body += b"".join(deletion(hits[i], same_index=False, replace=replace) + b"\n" for i in gone)
        refused = self._sent(body, positions, gone, self.job.target)
        letters = [letter(self.job, hits[i], fault) for i, fault in faults.items()]
        letters += self._rejected(hits, refused)
        self._keep(letters)

    def _keep(self, letters: Sequence[DeadLetter]) -> None:
        """Writes dead letters where the job wants them."""
        if self._dead is not None:
            self._dead.keep(letters)
        else:
            keep(self.link, self.job, letters)

    @property
    def _cleans(self) -> bool:
        """Whether the target may have an earlier state of a document."""
        return not self.item.file and (self.job.tombstones or self.item.number > 1)

    def _changed(self, hits: Sequence[Hit], *, last: bool = False) -> None:
        """In place: writes what changed. A document that a live write changed meanwhile is read once more."""
        outcome, faults = self._ran(hits, changes(hits), self.item.index)
        pairs = [pair for pair, kept in _pairs(outcome) if kept]
        positions = [i for i, state in enumerate(outcome.states) if state in KEPT]
        self.result.counts.same += outcome.states.count("same")
        texts = {i: pair for i, pair in zip(positions, pairs, strict=True) if outcome.states[i] == "changed"}
        gone = [i for i, state in enumerate(outcome.states) if state == "dropped"] if self.job.delete_dropped else []
        body = b"".join(texts.values()) + b"".join(deletion(hits[i], same_index=True) + b"\n" for i in gone)
        refused = self._sent(body, list(texts), gone, self.item.index)
        letters = [letter(self.job, hits[i], fault) for i, fault in faults.items()]
        self._keep(letters + self._rejected(hits, refused))
        lost = [i for i, refusal in refused.items() if refusal.status == 409]
        if lost and not last:
            self._retried([hits[i] for i in lost], [texts.get(i, b"") for i in lost])

    def _retried(self, hits: Sequence[Hit], sent: Sequence[bytes]) -> None:
        """Reads documents once more that were not as they had been read. `sent`: the actions with their new texts.

        A document that has the text that was sent was written by this worker, or by one that ended before it heard.
        """
        now = reading.again(self.link, hits, self.item.index)
        counts = self.result.counts
        left: list[Hit] = []
        deletions = 0
        for hit, action in zip(now, sent, strict=True):
            _, _, text = action.partition(b"\n")
            if not hit.found:
                continue
            if action and text.rstrip(b"\n") == hit.text:
                counts.conflicts -= 1
                counts.written += 1
            else:
                left.append(hit)
                deletions += not action
        if left:
            # A deletion that was refused was counted as dropped, and as no conflict.
            counts.conflicts -= len(left) - deletions
            counts.dropped -= deletions
            counts.retried += len(left)
            self._changed(left, last=True)

    def _sent(self, body: bytes, written: Sequence[int], gone: Sequence[int], index: str) -> dict[int, Refusal]:
        """Sends a bulk and counts its end; gives the refusals by the position of the document.

        Raises BackfillError where the cluster refuses something for another reason than the document.
        """
        counts = self.result.counts
        if not written and not gone:
            return {}
        sent = send(self.link, index, body, len(written) + len(gone), self.job.params)
        positions = [*written, *gone]
        counts.retried += sent.repeated
        counts.written += len(written)
        counts.deleted += len(gone)
        refused: dict[int, Refusal] = {}
        for order, refusal in sent.refused.items():
            deletes = order >= len(written)
            if deletes:
                counts.deleted -= 1
            else:
                counts.written -= 1
            if deletes and refusal.status == 404:
                continue
            refused[positions[order]] = refusal
            if refusal.status == 409 and not deletes:
                counts.conflicts += 1
            elif refusal.status in PERMANENT and not deletes:
                counts.rejected += 1
            elif refusal.status != 409:
                raise BackfillError(f"[{index}] refuses a document: {refusal.status}: {refusal.error.text}")
        return refused

    def _rejected(self, hits: Sequence[Hit], refused: dict[int, Refusal]) -> list[DeadLetter]:
        """The dead letters of documents that the cluster refuses for good. Their earlier states leave the target."""
        found = {i: refusal for i, refusal in refused.items() if refusal.status in PERMANENT}
        if found and self._cleans and not self.job.same_index:
            replace = self.job.replace
            lines = b"".join(deletion(hits[i], same_index=False, replace=replace) + b"\n" for i in found)
            self._sent(lines, [], list(found), self.job.target)
        letters = []
        for i, refusal in found.items():
            error = refusal.error
            count_bounded(self.result.reasons, f"{error.type}: {error.text[:200]}")
            letters.append(
                letter(self.job, hits[i], Fault("mapping", refusal.status, error.type, error.text, self.job.pipeline))
            )
        return letters

    def _mirrored(self, hits: Sequence[Hit]) -> None:
        """Deletes documents of the target that the source lacks, as long as they are as they were read."""
        present = reading.present(self.link, self.job, hits)
        gone = [i for i, hit in enumerate(hits) if hit.copy not in present]
        body = b"".join(deletion(hits[i], same_index=True) + b"\n" for i in gone)
        self._sent(body, [], gone, self.item.index)

    def _compared(self, hits: Sequence[Hit]) -> None:
        """Diff: what would become of documents; nothing is written."""
        outcome, faults = self._ran(hits, copies(hits), self.job.target)
        texts = iter(_pairs(outcome))
        after: list[bytes | None] = [
            next(texts)[0].partition(b"\n")[2].rstrip(b"\n") if state in KEPT or state == "moved" else None
            for state in outcome.states
        ]
        compare(self.result, hits, outcome.states, after, faults)


def _pairs(outcome: BulkOutcome) -> list[tuple[bytes, bool]]:
    """The actions of what is left of a bulk, each with its line ends, and whether it goes where it was to go.

    Of a document that has become several, the first.
    """
    lines = bytes(outcome.body).split(b"\n")
    pairs, at = [], 0
    for state, count in zip(outcome.states, outcome.forwarded, strict=True):
        if count:
            pairs.append((b"%b\n%b\n" % (lines[at], lines[at + 1]), state in KEPT))
        at += 2 * count
    return pairs
