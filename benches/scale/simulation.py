"""A simulation of jobs by discrete events: shards, throttling, stragglers and lost workers.

A worker does its items one after the other, page by page: the node reads, the worker runs the pipeline, the node
writes. A page waits where cores, or the room for bulks of a node, are taken. Costs are seconds of a core per document,
as they were measured; nothing is fitted to the runs that are compared but the share of writing that a bulk waits for.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Iterator  # noqa: TC003 - an annotation that msgspec may read

import msgspec


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of a core for a document, at a worker and at the node. `waited`: share of writing that a bulk waits for.

    The rest of writing (refreshes, merges) is work of the node after the answer.
    """

    worker_read: float
    worker_pipeline: float
    worker_write: float
    node_read: float
    node_write: float
    waited: float = 1.0

    @property
    def worker(self) -> float:
        """Seconds of a core of a worker."""
        return self.worker_read + self.worker_pipeline + self.worker_write

    @property
    def node(self) -> float:
        """Seconds of a core of the cluster."""
        return self.node_read + self.node_write


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """A job and its machines.

    `worker_cores`: of all workers together; 0: they share those of the nodes, as on one machine. `share`: of the cores
    of the nodes that the job may have. `start`: seconds until the first item. `restart`: seconds until a lost worker is
    replaced. `item`: seconds of a core that an item costs the engine. `rate`: documents a second in all; 0: no bound.
    `mtbf`: seconds until a worker is lost, on average; 0: never. `losses`: moments at which a worker is lost.
    `stragglers`: share of workers that are `slowness` times slower. `room`: bulks that a node takes at once; others are
    refused, and come again after a wait that doubles. `network`: bytes a second of all links; 0: no bound.
    """

    documents: int
    workers: int
    nodes: int = 1
    node_cores: float = 2.0
    share: float = 1.0
    worker_cores: float = 0.0
    shards: int = 2
    items: int = 0
    page: int = 5000
    bytes: float = 400.0
    start: float = 0.0
    restart: float = 1.0
    item: float = 0.02
    rate: float = 0.0
    mtbf: float = 0.0
    losses: tuple[float, ...] = ()
    stragglers: float = 0.0
    slowness: float = 3.0
    room: int = 200
    network: float = 0.0
    seed: int = 1


class Outcome(msgspec.Struct, kw_only=True):
    """`seconds` to the end of the job, `repeated` documents after losses, `refused` bulks, `busy` share of cores."""

    seconds: float
    repeated: int = 0
    refused: int = 0
    lost: int = 0
    busy: float = 0.0


class _Cores:
    """Cores that do what comes first, first; a fraction of a core makes all of them slower."""

    def __init__(self, cores: float) -> None:
        self._count = max(1, round(cores))
        self._speed = min(1.0, cores / self._count)
        self._free = [0.0] * self._count
        self.busy = 0.0

    def serve(self, now: float, seconds: float) -> float:
        """When work that arrives now is done."""
        seconds /= self._speed
        begins = max(now, heapq.heappop(self._free))
        heapq.heappush(self._free, begins + seconds)
        self.busy += seconds
        return begins + seconds

    def utilisation(self, until: float) -> float:
        """The busy share of all cores."""
        return self.busy / (until * self._count) if until else 0.0


class _Run:
    def __init__(self, setup: Setup, costs: Costs) -> None:
        self.setup = setup
        self.costs = costs
        self.outcome = Outcome(seconds=0.0)
        self._rng = random.Random(setup.seed)  # noqa: S311 - a simulation
        self._nodes = [_Cores(setup.node_cores * setup.share) for _ in range(setup.nodes)]
        self._workers = _Cores(setup.worker_cores) if setup.worker_cores else None
        self._pending = [0] * setup.nodes
        self._events: list[tuple[float, int, Iterator[float]]] = []
        self._order = 0
        count = setup.items or 8 * setup.workers
        self._items = deque([setup.documents // count + (i < setup.documents % count) for i in range(count)])
        self._losses = deque(sorted(setup.losses))
        self._paced = setup.start
        self._sent = setup.start

    def run(self) -> Outcome:
        """Runs until no item is left."""
        slow = round(self.setup.stragglers * self.setup.workers)
        for worker in range(self.setup.workers):
            self._schedule(self.setup.start, self._working(worker, self.setup.slowness if worker < slow else 1.0))
        now = 0.0
        while self._events:
            now, _, process = heapq.heappop(self._events)
            self._now = now
            following = next(process, None)
            if following is not None:
                self._schedule(following, process)
        self.outcome.seconds = now
        self.outcome.busy = sum(node.utilisation(now) for node in self._nodes) / len(self._nodes)
        return self.outcome

    def _schedule(self, moment: float, process: Iterator[float]) -> None:
        self._order += 1
        heapq.heappush(self._events, (moment, self._order, process))

    def _working(self, worker: int, slowness: float) -> Iterator[float]:
        """A worker: each value is the moment of its next step."""
        ends = self._lifetime()
        while self._items:
            documents = self._items.popleft()
            done = 0
            yield (self._workers or self._nodes[0]).serve(self._now, self.setup.item)
            while done < documents:
                page = min(self.setup.page, documents - done)
                yield from self._page(worker, page, slowness)
                done += page
                if self._is_lost(ends):
                    self.outcome.lost += 1
                    self.outcome.repeated += done
                    self._items.appendleft(documents)
                    yield self._now + self.setup.restart
                    ends = self._lifetime()
                    break

    def _lifetime(self) -> float:
        mtbf = self.setup.mtbf
        return self._now_or_zero() + self._rng.expovariate(1 / mtbf) if mtbf else float("inf")

    def _now_or_zero(self) -> float:
        return getattr(self, "_now", 0.0)

    def _is_lost(self, ends: float) -> bool:
        if self._losses and self._now >= self._losses[0]:
            self._losses.popleft()
            return True
        return self._now >= ends

    def _page(self, worker: int, documents: int, slowness: float) -> Iterator[float]:
        setup, costs = self.setup, self.costs
        if setup.rate:
            self._paced = max(self._paced, self._now) + documents / setup.rate
            yield self._paced - documents / setup.rate
        node = self._nodes[self._rng.randrange(setup.nodes)]
        yield node.serve(self._now, documents * costs.node_read)
        cores = self._workers or node
        yield cores.serve(self._now, documents * costs.worker * slowness)
        if setup.network:
            self._sent = max(self._sent, self._now) + 2 * documents * setup.bytes / setup.network
            yield self._sent
        yield from self._bulk(documents)

    def _bulk(self, documents: int) -> Iterator[float]:
        """Parts of a bulk are written by shard at once; a node that has no room refuses it."""
        setup, costs = self.setup, self.costs
        wait = 0.1
        where = self._rng.randrange(setup.nodes)
        while self._pending[where] >= setup.room:
            self.outcome.refused += 1
            yield self._now + wait * self._rng.uniform(0.5, 1)
            wait = min(10.0, wait * 2)
        self._pending[where] += 1
        parts = min(setup.shards, 8)
        part = documents * costs.node_write / parts
        ends = self._now
        for each in range(parts):
            node = self._nodes[(where + each) % setup.nodes]
            ends = max(ends, node.serve(self._now, part * costs.waited))
            if costs.waited < 1:
                node.serve(self._now, part * (1 - costs.waited))
        yield ends
        self._pending[where] -= 1


def simulate(setup: Setup, costs: Costs) -> Outcome:
    """What becomes of a job. The same setup gives the same outcome."""
    return _Run(setup, costs).run()


def bound(setup: Setup, costs: Costs) -> float:
    """The seconds that no schedule beats: the busiest of workers, cluster, network and rate, and the start."""
    cluster = setup.nodes * setup.node_cores * setup.share
    shared = costs.node + (0.0 if setup.worker_cores else costs.worker)
    seconds = [setup.documents * shared / cluster, setup.documents * costs.worker / setup.workers]
    if setup.worker_cores:
        seconds.append(setup.documents * costs.worker / setup.worker_cores)
    if setup.network:
        seconds.append(2 * setup.documents * setup.bytes / setup.network)
    if setup.rate:
        seconds.append(setup.documents / setup.rate)
    return setup.start + max(seconds)
