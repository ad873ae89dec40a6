"""Measures jobs on a node of this machine: CPU time of workers and node, and the seconds of a job on each engine."""

from __future__ import annotations

import os
import platform
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.backfill.cluster import reading
from headrace.backfill.cluster.link import Link
from headrace.backfill.cluster.records import Pass
from headrace.backfill.cluster.writing import copies, send
from headrace.backfill.engine import LocalEngine
from headrace.backfill.items import item_size, items_of, survey
from headrace.backfill.spec import Connection, JobSpec
from headrace_pipelines import Bundle, Pipelines

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.backfill.engine import Engine
    from headrace.backfill.spec import WorkItem

TICK = os.sysconf("SC_CLK_TCK")
SOURCE, TARGET = "scale-source", "scale-target"
SHARDS = 4
STAGES = [
    {"name": "drop", "type": "native", "if": 'doc.level == "TRACE"', "config": {"function": "drop", "parameters": {}}},
    {"name": "low", "type": "native", "config": {"function": "lowercase", "parameters": {"field": "level"}}},
    {
        "name": "set",
        "type": "native",
        "config": {"function": "set", "parameters": {"field": "from", "value": "{{host.name}}"}},
    },
    {"name": "remove", "type": "native", "config": {"function": "remove", "parameters": {"field": "pad"}}},
]
BUNDLE = Bundle((("p", msgspec.json.encode({"type": "document", "version": "1", "stages": STAGES})),))


class Run(msgspec.Struct, kw_only=True):
    """A job as it was: `others` is what other processes used meanwhile, in cores; CPU times are in seconds.

    `engine_cpu`: of the engine beside its items, and of workers that were killed.
    """

    name: str
    engine: str
    workers: int
    documents: int
    items: int
    seconds: float
    start: float = 0.0
    rate: float = 0.0
    losses: list[float] = []
    others: float = 0.0
    worker_cpu: float = 0.0
    node_cpu: float = 0.0
    engine_cpu: float = 0.0


class Beside(msgspec.Struct, kw_only=True):
    """Work over rows of Parquet by two processes of this machine, and on Spark: seconds, and CPU seconds in all."""

    what: str
    rows: int
    local: tuple[float, float]
    spark: tuple[float, float]


class Recorded(msgspec.Struct, kw_only=True):
    """Costs and runs of one session on one machine; `parquet`: of another one, round by round."""

    machine: str
    cores: int
    document_bytes: float
    page: float
    shards: int
    costs: dict[str, float]
    runs: list[Run]
    parquet: list[Beside] = []


def machine() -> str:
    """The processor of this machine."""
    text = Path("/proc/cpuinfo").read_text()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return f"{os.cpu_count()} cores of {names[0] if names else platform.machine()}, workers and node together"


def cpu_of(pid: int, *, ended: bool = False) -> float:
    """Seconds of CPU that a process has used; `ended`: with its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(each) for each in fields[11 : 15 if ended else 13]) / TICK


def cpu_of_tree() -> float:
    """Seconds of CPU that this process and all below it have used."""
    total = 0.0
    for pid in [os.getpid(), *children(os.getpid())]:
        with suppress(OSError):
            total += cpu_of(pid, ended=True)
    return total


def cpu_by_process() -> dict[tuple[int, str], float]:
    """Seconds of CPU of this process and each below it, by its id and the time of its start."""
    found = {}
    for pid in [os.getpid(), *children(os.getpid())]:
        with suppress(OSError):
            start = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
            found[pid, start] = cpu_of(pid)
    return found


def cpu_of_machine() -> float:
    """Seconds of CPU that all processes have used."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    return sum(int(fields[i]) for i in (0, 1, 2, 5, 6)) / TICK


def children(root: int) -> list[int]:
    """The processes below one."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found, level = [], {root}
    while level := {pid for pid, parent in parents.items() if parent in level}:
        found += level
    return found


class Bench:
    """A node, its process, and an index of documents."""

    def __init__(self, url: str, node: int, documents: int) -> None:
        self.node = node
        self.documents = documents
        self.connection = Connection(url=url)
        self.link = Link(self.connection, 60.0)
        self.length = 0

    def job(self, **changes: Any) -> JobSpec:
        """The job that is measured."""
        fields = {"job": "scale", "source": SOURCE, "target": TARGET, "pipeline": "p@1", "bundle": BUNDLE}
        return JobSpec(**{**fields, "cluster": self.connection, **changes})

    def fill(self) -> None:
        """Log documents of about 380 bytes, in four shards."""
        self.fresh(SOURCE)
        levels = ("INFO", "DEBUG", "WARN", "ERROR")
        for start in range(0, self.documents, 5000):
            lines: list[bytes] = []
            for n in range(start, min(self.documents, start + 5000)):
                document = {
                    "@timestamp": f"2026-01-01T00:{n // 60 % 60:02}:{n % 60:02}Z",
                    "level": levels[n % 4],
                    "message": f"request {n} of service-{n % 50} took {n % 977} ms and returned {200 + n % 5}",
                    "host": {"name": f"host-{n % 100}", "ip": f"10.0.{n % 256}.{n % 199}"},
                    "trace": f"{n * 2654435761 % 2**32:08x}{n:024x}",
                    "duration": n % 977,
                    "pad": "lorem ipsum dolor sit amet " * 3,
                }
                text = msgspec.json.encode(document)
                self.length += len(text)
                lines += (b'{"index":{"_id":"d%d"}}' % n, text)
            body = b"\n".join([*lines, b""])
            sent = send(self.link, SOURCE, body, len(lines) // 2, {})
            if sent.refused:
                raise RuntimeError(f"the node refuses documents: {next(iter(sent.refused.values()))}")
        self.link.json("POST", f"/{SOURCE}/_forcemerge", {"max_num_segments": "2"})

    def fresh(self, index: str) -> None:
        """An empty index."""
        self.link.call("DELETE", f"/{index}")
        settings = {"number_of_shards": SHARDS, "number_of_replicas": 0}
        mapping = {"dynamic_templates": [{"t": {"match_mapping_type": "string", "mapping": {"type": "keyword"}}}]}
        self.link.json("PUT", f"/{index}", None, {"settings": settings, "mappings": mapping})

    def items(self, workers: int) -> list[WorkItem]:
        """The items of a pass."""
        found = survey(self.link, SOURCE)
        planned = Pass(number=1, high=found.marks, size=item_size(found.operations, workers))
        return items_of(planned, SOURCE, frozenset())

    def reads(self) -> tuple[float, float, float]:
        """Seconds of CPU to read a document, at the worker and at the node; documents of a page."""
        node, worker, pages = cpu_of(self.node), time.thread_time(), 0
        job = self.job()
        for item in self.items(1):
            for _ in reading.pages(self.link, job, item):
                pages += 1
        return (
            (time.thread_time() - worker) / self.documents,
            (cpu_of(self.node) - node) / self.documents,
            self.documents / pages,
        )

    def runs(self) -> float:
        """Seconds of CPU of the pipeline for a document, with the lines of its bulk."""
        job, pipelines = self.job(), Pipelines.shared(BUNDLE)
        spent, count = 0.0, 0
        for page in reading.pages(self.link, job, self.items(1)[0]):
            began = time.thread_time()
            pipelines.run_bulk("p@1", copies(page.hits), index=TARGET, final=True)
            spent += time.thread_time() - began
            count += len(page.hits)
        return spent / count

    def run(self, name: str, engine: Engine, workers: int, *, kill: Callable[[], list[int]] | None = None,
            losses: tuple[float, ...] = (), rate: float = 0.0, start: float = 0.0) -> Run:  # fmt: skip
        """A job over all documents. `losses`: seconds after which a worker of `kill()` is killed."""
        self.fresh(TARGET)
        items = self.items(workers)
        job = self.job(rate=rate / workers if rate else 0.0)
        lost: list[float] = []
        over = threading.Event()
        tree, node, everything = cpu_of_tree(), cpu_of(self.node), cpu_of_machine()
        began = time.monotonic()

        def killer() -> None:
            for moment in losses:
                if over.wait(max(0.0, began + moment - time.monotonic())) or kill is None:
                    return
                found = kill()
                if found:
                    os.kill(found[0], signal.SIGKILL)
                    lost.append(time.monotonic() - began)

        thread = threading.Thread(target=killer)
        thread.start()
        counts = engine.run(job, items).counts
        seconds = time.monotonic() - began
        over.set()
        thread.join()
        node_cpu = cpu_of(self.node) - node
        ours = cpu_of_tree() - tree
        others = (cpu_of_machine() - everything - node_cpu - ours) / seconds
        return Run(name=name, engine=name.partition(" ")[0], workers=workers, documents=self.documents,
                   items=len(items), seconds=seconds, rate=rate, losses=lost, others=max(0.0, others), start=start,
                   worker_cpu=counts.cpu, node_cpu=node_cpu, engine_cpu=ours - counts.cpu)  # fmt: skip


def local_runs(bench: Bench) -> list[Run]:
    """The engine of this machine: one and two workers, a rate, workers that are killed."""
    runs = []
    with LocalEngine(1) as engine:
        engine.run(bench.job(diff=True), bench.items(1)[:1])
        runs.append(bench.run("local 1", engine, 1))
    with LocalEngine(2) as engine:
        engine.run(bench.job(diff=True), bench.items(2)[:2])
        runs.append(bench.run("local 2", engine, 2))
        runs.append(bench.run("local 2, at a rate", engine, 2, rate=bench.documents / 25))
        half = runs[1].seconds / 3
        runs.append(bench.run("local 2, two workers killed", engine, 2, kill=lambda: engine.pids[:1],
                              losses=(half, 2 * half)))  # fmt: skip
    return runs
