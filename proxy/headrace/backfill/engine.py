"""Engines: what hands out the items of a job and adds their results. This one has processes of this machine."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections import deque
from multiprocessing import connection
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

from headrace.backfill.kernel import run_item
from headrace.backfill.spec import BackfillError, Counts, ItemResult
from headrace.client.errors import ClientError, UnreachableError
from headrace_pipelines.errors import HeadraceError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.connection import Connection as Pipe
    from multiprocessing.context import SpawnProcess
    from types import TracebackType

    from headrace.backfill.spec import JobSpec, WorkItem

MAX_ATTEMPTS = 4
"""Workers that an item may end before the job does, on each engine: a document that kills each must not go on for ever.
The default of Spark. Workers of this machine count that have come no further in the item than one before."""
TICK_SECONDS = 0.5
"""Seconds between two reports where nothing else happens."""
STOP_SECONDS = 5.0
"""Seconds in which an idle worker ends by itself."""
CANCEL_SECONDS = 30.0
"""Seconds in which a cluster ends the items of a job that is over: no write of them comes after its last word."""
REPORT_SECONDS = 0.2
"""Seconds between two reports of a worker within an item."""


class Progress(NamedTuple):
    """A running pass: counts of done items and of those at work, items done and in all, workers that were lost."""

    counts: Counts
    done: int
    items: int
    lost: int


class Engine(Protocol):
    """Runs items, each at least once, and adds up their results."""

    def run(
        self, job: JobSpec, items: Sequence[WorkItem], watch: Callable[[Progress], None] | None = None
    ) -> ItemResult:
        """The result of all items. Raises what an item raises; the others at work end before."""
        ...


class LocalEngine:
    """Workers in processes of their own, which live from pass to pass. One that is killed is replaced."""

    def __init__(self, workers: int) -> None:
        self._count = workers
        self._workers: list[_Worker] = []
        self.lost = 0

    def run(
        self, job: JobSpec, items: Sequence[WorkItem], watch: Callable[[Progress], None] | None = None
    ) -> ItemResult:
        """See [`Engine`]. Raises BackfillError for an item that ends every worker it meets."""
        run = _Run(self, job, items, watch)
        while not run.over:
            run.step()
        if run.error is not None:
            raise run.error
        return run.total

    def idle(self, count: int) -> list[_Worker]:
        """Workers for so many items, started where there are too few; fewer where all that may be are at work."""
        idle = [worker for worker in self._workers if worker.item is None]
        while len(idle) < count and len(self._workers) < self._count:
            self._workers.append(_Worker())
            idle.append(self._workers[-1])
        return idle[:count]

    def busy(self) -> list[_Worker]:
        """Workers with an item."""
        return [worker for worker in self._workers if worker.item is not None]

    def drop(self, worker: _Worker) -> None:
        """Forgets a worker that has ended."""
        self.lost += 1
        worker.close()
        self._workers.remove(worker)

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers."""
        return [worker.process.pid for worker in self._workers if worker.process.pid is not None]

    def close(self) -> None:
        """Ends the workers: idle ones by themselves, others at once. What they have done is done."""
        for worker in self._workers:
            if worker.item is not None:
                worker.process.terminate()
            worker.close()
        self._workers.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Worker:
    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(target=_work, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()
        self.item: WorkItem | None = None
        self.counts = Counts()
        self._job: JobSpec | None = None

    @property
    def fresh(self) -> bool:
        """Whether it has never had an item."""
        return self._job is None

    def assign(self, job: JobSpec, item: WorkItem) -> bool:
        """Sends an item; says whether the worker could be told."""
        try:
            self.pipe.send((None if self._job is job else job, item))
        except OSError:
            return False
        self._job, self.item, self.counts = job, item, Counts()
        return True

    def close(self) -> None:
        self.pipe.close()
        self.process.join(STOP_SECONDS)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


class _Run:
    """The items of one pass."""

    def __init__(
        self, engine: LocalEngine, job: JobSpec, items: Sequence[WorkItem], watch: Callable[[Progress], None] | None
    ) -> None:
        self._engine = engine
        self._job = job
        self._waiting = deque(items)
        self._count = len(items)
        self._done = 0
        self._attempts: dict[str, int] = {}
        self._furthest: dict[str, int] = {}
        self._watch = watch
        self.total = ItemResult()
        self.error: Exception | None = None

    @property
    def over(self) -> bool:
        """Whether nothing is at work, and nothing is to be."""
        return not self._engine.busy() and (not self._waiting or self.error is not None)

    def step(self) -> None:
        """Hands out items, and waits for a message or the end of a worker."""
        if self.error is None:
            for worker in self._engine.idle(len(self._waiting)):
                if worker.assign(self._job, self._waiting[0]):
                    self._waiting.popleft()
                    continue
                self._engine.drop(worker)
                if worker.fresh:
                    # It ended while it was told: one that cannot start must not be started for ever.
                    self._lost(self._waiting.popleft(), 0)
                    break
        busy = {worker.pipe: worker for worker in self._engine.busy()}
        for pipe in connection.wait(list(busy), TICK_SECONDS):
            self._hear(busy[pipe])  # type: ignore[index]
        if self._watch is not None:
            counts = Counts()
            for each in (self.total.counts, *(worker.counts for worker in self._engine.busy())):
                counts.add(each)
            self._watch(Progress(counts, self._done, self._count, self._engine.lost))

    def _hear(self, worker: _Worker) -> None:
        """Reads a message; the end of the pipe is the end of the process."""
        item = worker.item
        try:
            kind, value = worker.pipe.recv()
        except (EOFError, OSError):
            if item is not None:
                self._lost(item, worker.counts.read)
            self._engine.drop(worker)
            return
        if kind == "counts":
            worker.counts = value
            return
        worker.item, worker.counts = None, Counts()
        if kind == "done":
            self._done += 1
            self.total.add(value)
        else:
            self.error = self.error or raised(*value)

    def _lost(self, item: WorkItem, read: int) -> None:
        """The worker of an item has ended, once it had read so many documents: where others came, too, or further."""
        if read > self._furthest.get(item.key, 0):
            self._furthest[item.key], self._attempts[item.key] = read, 0
        attempts = self._attempts[item.key] = self._attempts.get(item.key, 0) + 1
        if attempts >= MAX_ATTEMPTS:
            self.error = BackfillError(f"the item [{item.key}] has ended its worker {attempts} times")
        else:
            self._waiting.appendleft(item)


def raised(kind: str, status: int, reason: str, field: str) -> Exception:
    """The error of a worker, in this process."""
    if kind == "client":
        return ClientError(status, reason, field=field)
    return UnreachableError(reason) if kind == "unreachable" else BackfillError(reason, field)


def described(error: Exception) -> tuple[str, int, str, str]:
    """An error as a message: its own class may need arguments that a pickle does not have."""
    field = getattr(error, "field", "")
    if isinstance(error, ClientError):
        return "client", error.status, error.reason, field
    if isinstance(error, UnreachableError):
        return "unreachable", 0, str(error), ""
    if isinstance(error, BackfillError | HeadraceError):
        return "backfill", 0, error.reason, field
    return "backfill", 0, f"{type(error).__name__}: {error}", ""


class _Reports:
    """Tells the parent how far an item is, at most so often."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._last = 0.0

    def __call__(self, counts: Counts) -> None:
        if time.monotonic() - self._last > REPORT_SECONDS:
            self._last = time.monotonic()
            self._pipe.send(("counts", counts))


def _work(pipe: Pipe) -> None:
    """A worker: does one item after the other until the other end of its pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    job: JobSpec | None = None
    report = _Reports(pipe)
    while True:
        try:
            sent, item = pipe.recv()
            job = sent or job
            message: tuple[str, Any]
            try:
                message = ("done", run_item(job, item, progress=report))  # type: ignore[arg-type]
            except OSError as error:
                message = ("failed", described(error))
            except Exception as error:  # noqa: BLE001 - the parent decides what an error means
                message = ("failed", described(error))
            pipe.send(message)
        except (EOFError, OSError):
            # The job has ended, or was killed: the item, if any, is not checked off twice.
            return
