"""What a tap costs a request: it counts documents, and copies those that it chooses."""

from __future__ import annotations

import random
import threading
import time
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from headrace.execution.taps.bounds import Bucket, HeldBytes
from headrace.execution.taps.hiding import RESULT_SLOTS
from headrace.execution.taps.samples import MAX_TEXT, Facts, Sample
from headrace.ops.observers import guarded
from headrace_pipelines import Deadline, PipelineType, RunOptions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from headrace.execution.taps.selection import Selection
    from headrace.ops.observers import RunOrigin
    from headrace.server.request import RequestContext
    from headrace_pipelines import Batch, Execution
    from headrace_pipelines.registry import Pipeline

T = TypeVar("T")

CANDIDATES = 1000
"""Inputs a second that a tap with `match` copies where masks hide fields, in each worker: they are judged afterwards,
without these fields, which costs some ten microseconds each."""
MATCHING_NS = 8_000_000
"""Nanoseconds a second that a tap spends on `match` in the way of requests, in each worker: about one percent."""
MATCH_SECONDS = 0.01
"""Seconds that one batch may wait for `match`: a condition that takes longer leaves inputs unexamined."""
SCANS = 20
"""Batches a second in which a tap looks for outcomes that only a comparison of texts tells."""
MAX_FOUND = 64
"""Inputs of one batch that a tap keeps, at most, until it is known whether they are shown."""
TRIES = 256
"""Documents of a batch whose index, or outcome, is looked at for one that is selected."""
_COUNTED = {"failed": 1, "dropped": 2}
"""Outcomes that a batch counts: their positions in `Batch.counts`."""


class Choice:
    """The choosing of one tap in one worker, and its counts since it began, which only the event loop changes."""

    def __init__(self, selection: Selection) -> None:
        self.selection = selection
        self.rate = Bucket(selection.per_second)
        self.candidates = Bucket(CANDIDATES)
        self.scans = Bucket(SCANS)
        self.spending = Bucket(MATCHING_NS)
        self.seen = 0
        self.unexamined = 0
        self.missed = 0

    def sees(self, pipeline: Pipeline, surface: str) -> bool:
        """Whether runs of a pipeline on a surface are chosen from."""
        definition = pipeline.definition
        return self.selection.sees_pipeline(definition.name, definition.type, surface)

    def see(self, count: int) -> int:
        """Counts inputs, and gives how many of them may be chosen."""
        self.seen += count
        return count

    def keeps(self, sample: Sample) -> bool:
        """Whether an input is shown, as far as its outcome tells now."""
        wanted = self.selection.outcome
        if not wanted or sample.outcome in wanted:
            return True
        # Whether stages were skipped, and how long one document took, is known after the second run.
        if "slow" in wanted and sample.duration_ns >= self.selection.slow_ns:
            return True
        return "skipped" in wanted and sample.outcome == "unchanged"


class Watch:
    """The taps on one request: an observer of its runs. `offer` gets what is kept, once the request is answered."""

    def __init__(
        self,
        context: RequestContext,
        choices: Iterable[Choice],
        held: HeldBytes,
        offer: Callable[[Choice, list[Sample]], None],
    ) -> None:
        self._context = context
        self._choices = tuple(choices)
        self._held = held
        self._offer = offer
        self.kept: dict[Choice, list[Sample]] = {}
        self._came: dict[int, bytes] = {}
        """Documents before their first pipeline, by slot, as far as they are at hand."""

    @cached_property
    def _facts(self) -> Facts:
        trace = self._context.trace
        trace_id = trace.trace_id if trace is not None else ""
        return Facts.of(self._context.surface, self._context.request.headers, trace_id)

    def start(
        self, pipeline: Pipeline, batch: Batch, again: Callable[[], Batch], options: RunOptions
    ) -> WatchedRun | None:
        """Copies the chosen inputs of a batch that is about to run."""
        if not options.counted:
            return None
        run = Run(pipeline, options, batch, again)
        if run.kind is PipelineType.DOCUMENT and not options.final and run.count == 1:
            self._remember(batch.slot(0), batch.document(0))
        chosen: list[tuple[Choice, list[Sample]]] = []
        late: list[Choice] = []
        for choice in self._seeing(pipeline):
            wanted = choice.see(run.count)
            if choice.selection.match:
                samples = self._matching(choice, run)
            elif choice.selection.judges:
                late.append(choice)
                continue
            else:
                samples = self._copies(choice, run, choice.rate.grant(wanted))
            if samples:
                chosen.append((choice, samples))
        return WatchedRun(self, run, chosen, late) if chosen or late else None

    def _remember(self, slot: int, text: bytes | None) -> None:
        if text is not None and len(text) <= MAX_TEXT:
            self._came[slot] = text

    def _seeing(self, pipeline: Pipeline) -> list[Choice]:
        return [choice for choice in self._choices if choice.sees(pipeline, self._context.surface)]

    def skip(self, pipeline: Pipeline, documents: int, make: Callable[[], Batch]) -> None:
        """No document of a batch meets a condition of the pipeline, so that there is no run."""
        run: Run | None = None
        for choice in self._seeing(pipeline):
            seen = choice.see(documents)
            outcomes = choice.selection.outcome
            if outcomes and not {"skipped", "unchanged"}.intersection(outcomes):
                continue
            wanted = 0 if choice.selection.match else choice.rate.grant(seen)
            if choice.selection.match and not choice.spending.grant(1):
                choice.unexamined += documents
                continue
            if not (wanted or choice.selection.match):
                continue
            run = run or Run(pipeline, RunOptions(), make(), make)
            samples = self._matching(choice, run) if choice.selection.match else self._copies(choice, run, wanted)
            for sample in samples:
                sample.keep_input()
                sample.outcome, sample.granted = "skipped", True
                self._held.add(len(sample.text or b""))
            if samples:
                self.kept.setdefault(choice, []).extend(samples)

    def _matching(self, choice: Choice, run: Run) -> list[Sample]:
        """The inputs that meet `match`; where something is hidden, those whose condition is evaluated afterwards."""
        selection, snapshot = choice.selection, self._context.snapshot
        if selection.hide or run.derived or not snapshot.bound.isdisjoint(RESULT_SLOTS):
            granted = choice.candidates.grant(run.count)
            choice.unexamined += run.count - granted
            return self._copies(choice, run, granted)
        if not choice.spending.grant(1):
            choice.unexamined += run.count
            return []
        started_ns = time.perf_counter_ns()
        trial = run.again()
        deadline = Deadline(MATCH_SECONDS)
        trial.enter_if(selection.conditions[run.kind], deadline, False, "tap", "match")
        positions: list[int] = []
        if wanted := min(trial.live, MAX_FOUND):
            if not selection.outcome:
                wanted = choice.rate.grant(wanted)
            # Only what meets the condition is active: the mark that it gets tells them apart.
            trial.fail_all(400, "match", "", "tap", "match")
            met = (at for at in range(len(trial)) if trial.outcome(at)[0] == "failed")
            positions = list(islice(met, wanted))
        if deadline.over:
            choice.unexamined += run.count
        choice.spending.spend(time.perf_counter_ns() - started_ns)
        samples = self._samples(choice, run, run.batch, positions)
        for sample in samples:
            sample.matched, sample.granted = True, not selection.outcome
        return samples

    def _copies(self, choice: Choice, run: Run, wanted: int) -> list[Sample]:
        """Inputs of a batch from a random position on."""
        if not wanted:
            return []
        start = random.randrange(run.count) if run.count > wanted else 0  # noqa: S311 - a sample, no secret
        tried = min(run.count, max(TRIES, wanted))
        positions = [(start + at) % run.count for at in range(tried)]
        found = self._samples(choice, run, run.batch, positions, wanted)
        if not choice.selection.match:
            for sample in found:
                sample.granted = True
            if self._held.full:
                choice.missed += wanted - len(found)
            else:
                choice.rate.restore(wanted - len(found))
        return found

    def _samples(
        self, choice: Choice, run: Run, batch: Batch, positions: Iterable[int], wanted: int = MAX_FOUND
    ) -> list[Sample]:
        """Copies of the inputs at these positions of a batch that has not run, as far as their index is selected."""
        found: list[Sample] = []
        for at in positions:
            if len(found) == wanted or self._held.full:
                break
            if choice.selection.sees_index(run.index_of(batch, at)):
                snapshot, came = self._context.snapshot, self._came.get(batch.slot(at))
                sample = Sample.of(batch, at, run.pipeline, snapshot, run.options, self._facts, came)
                if run.kind is PipelineType.DOCUMENT and not run.derived:
                    self._remember(sample.slot, sample.text)
                self._held.add(sample.nbytes)
                run.copied += sample.nbytes
                found.append(sample)
        return found

    def find(self, choice: Choice, run: Run, batch: Batch) -> list[Sample]:
        """The inputs of a batch that has run whose outcome is selected. Called on the thread of the run."""
        outcomes = choice.selection.outcome
        states = [name for name in outcomes if name in _COUNTED]
        now = batch.counts
        ended = sum(max(0, now[_COUNTED[name]] - run.counts[_COUNTED[name]]) for name in states)
        found: list[Sample] = []
        if ended and (granted := choice.rate.grant(min(ended, MAX_FOUND))):
            at_end = (at for at in range(len(batch)) if batch.outcome(at)[0] in states)
            found = self._found(choice, run, batch, islice(at_end, MAX_FOUND))[:granted]
            choice.rate.restore(granted - len(found))
            for sample in found:
                sample.granted = True
        if len(states) == len(outcomes) or (outcomes == ["slow"] and run.elapsed_ns < choice.selection.slow_ns):
            return found
        if choice.scans.grant(1):
            start = random.randrange(len(batch)) if len(batch) else 0  # noqa: S311 - a sample, no secret
            positions = [(start + at) % len(batch) for at in range(min(len(batch), MAX_FOUND))]
            found += [sample for sample in self._found(choice, run, batch, positions) if sample.outcome not in states]
        return found

    def _found(self, choice: Choice, run: Run, batch: Batch, positions: Iterable[int]) -> list[Sample]:
        fresh = run.again()
        slots = {fresh.slot(at): at for at in range(len(fresh))} if len(batch) != len(fresh) else None
        wanted = dict.fromkeys(positions) if slots is None else {slots[batch.slot(at)]: None for at in positions}
        samples = self._samples(choice, run, fresh, wanted)
        run.read(samples, batch)
        for sample in samples:
            sample.duration_ns = run.elapsed_ns
        return [sample for sample in samples if choice.keeps(sample)]

    def settle(self, run: Run, chosen: Iterable[tuple[Choice, list[Sample]]]) -> None:
        """Keeps what the outcome lets be shown, and holds nothing else of a run any more."""
        nbytes = 0
        for choice, samples in chosen:
            kept = [sample for sample in samples if choice.keeps(sample)]
            nbytes += sum(sample.nbytes for sample in kept)
            if kept:
                self.kept.setdefault(choice, []).extend(kept)
        self._held.add(nbytes - run.copied)
        run.copied = 0

    def answered(self) -> None:
        """The request has been answered: what was kept can be worked on."""
        kept, self.kept = self.kept, {}
        for choice, samples in kept.items():
            self._offer(choice, samples)


class Run:
    """One run of a pipeline over a batch, as taps see it."""

    def __init__(self, pipeline: Pipeline, options: RunOptions, batch: Batch, again: Callable[[], Batch]) -> None:
        self.pipeline = pipeline
        self.options = options
        self.batch = batch
        self.again = again
        self.kind = pipeline.definition.type
        self.count = len(batch)
        self.counts = batch.counts
        self.copied = 0
        """Bytes that are held of its inputs."""
        self._started_ns = time.perf_counter_ns()

    @property
    def derived(self) -> bool:
        """Whether pipelines have run on its inputs before."""
        origin: RunOrigin | None = self.options.origin
        return self.options.final if origin is None else origin.derived

    def index_of(self, batch: Batch, at: int) -> str:
        """The index of an input, or the names of those of a search, separated by commas."""
        origin: RunOrigin | None = self.options.origin
        if origin is None:
            return batch.metadata(at)[0] or "_all"
        return ",".join(filter(None, (origin.expression, *origin.indexes))) or "_all"

    @property
    def elapsed_ns(self) -> int:
        """Nanoseconds since the run began."""
        return time.perf_counter_ns() - self._started_ns

    def read(self, samples: Iterable[Sample], batch: Batch) -> None:
        """Keeps what became of inputs."""
        if len(batch) == self.count:
            for sample in samples:
                sample.read(batch, [sample.position])
            return
        slots: dict[int, list[int]] = {}
        for at in range(len(batch)):
            slots.setdefault(batch.slot(at), []).append(at)
        for sample in samples:
            sample.read(batch, slots.get(sample.slot, []))


class WatchedRun:
    """One run under taps: `chosen` are inputs that are shown, `late` are taps that choose by the outcome.

    A client that goes ends the run on the loop, while the thread may still read: the last of both releases the bytes.
    """

    def __init__(self, watch: Watch, run: Run, chosen: list[tuple[Choice, list[Sample]]], late: list[Choice]) -> None:
        self._watch = watch
        self._run = run
        self._chosen = chosen
        self._late = late
        self._lock = threading.Lock()
        self._reading = False
        self._ended = False

    def read(self, batch: Batch) -> None:
        """Keeps what became of the chosen inputs, and chooses by the outcome."""
        if not self._start_reading():
            return
        try:
            for _, samples in self._chosen:
                self._run.read(samples, batch)
            for choice in self._late:
                self._chosen.append((choice, self._watch.find(choice, self._run, batch)))
        finally:
            with self._lock:
                self._reading = False
                ended = self._ended
            if ended:
                self._watch.settle(self._run, ())

    def _start_reading(self) -> bool:
        with self._lock:
            self._reading = not self._ended
            return self._reading

    def finish(self, execution: Execution | None) -> None:
        """Hands over what is kept; nothing of a run that did not end."""
        with self._lock:
            self._ended = True
            if self._reading:
                return
        if execution is None:
            self._watch.settle(self._run, ())
            return
        for _, samples in self._chosen:
            for sample in samples:
                sample.duration_ns = execution.duration_ns
                if sample.outcome == "unchanged" and sample.pipeline.definition.name in execution.skipped:
                    sample.outcome = "skipped"
        self._watch.settle(self._run, self._chosen)


async def answered_for(watch: Watch, answer: Awaitable[T]) -> T:
    """The answer of a request, after which its taps can be worked on."""
    try:
        return await answer
    finally:
        guarded(watch.answered)
