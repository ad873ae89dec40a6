"""The nodes of the cluster: requests go to each in turn, and past those that do not answer until they do again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

log = logging.getLogger("headrace.upstream")

FIRST_PAUSE = 1.0
"""Seconds without requests for a node after its first failure; each further failure in a row doubles them."""
LONGEST_PAUSE = 30.0
"""Maximum of these seconds: a node that is back serves again within half a minute without a health check."""


@dataclass
class Node:
    """A node by its URL; `out_until` by the monotonic clock."""

    url: str
    failures: int = 0
    out_until: float = 0.0

    @property
    def address(self) -> str:
        """Its `host:port`, without credentials."""
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        return f"{f'[{host}]' if ':' in host else host}:{parts.port or (443 if parts.scheme == 'https' else 80)}"

    @property
    def out(self) -> bool:
        """Whether it is left out now."""
        return time.monotonic() < self.out_until


class Nodes:
    """Picks nodes round robin. A node that fails is left out for a while, then tried again, first by a health check."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._nodes = [Node(url.rstrip("/")) for url in urls]
        self._turn = 0
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._nodes)

    def at(self, url: str) -> Node:
        """The node at a URL; a new one, where it is none of the present nodes."""
        return next((node for node in self._nodes if node.url == url), None) or Node(url)

    def up(self) -> dict[str, bool]:
        """Whether each node has answered when it was last asked, by its address; true before the first question."""
        return {node.address: not node.failures for node in self._nodes}

    def replace(self, urls: Sequence[str]) -> None:
        """Other nodes from now on; those that stay keep their state."""
        self._nodes = [self.at(url.rstrip("/")) for url in urls]

    def pick(self, tried: Sequence[Node] = ()) -> Node:
        """The next node: one that answers and was not tried yet, else the one that is out the shortest."""
        node = self.peek(tried)
        self.turn()
        return node

    def peek(self, tried: Sequence[Node] = ()) -> Node:
        """The node that [`pick`] would give."""
        if len(self._nodes) == 1:
            return self._nodes[0]
        order = [self._nodes[(self._turn + i) % len(self._nodes)] for i in range(len(self._nodes))]
        fresh = [node for node in order if node not in tried] or order
        return next((node for node in fresh if not node.out), None) or min(fresh, key=lambda node: node.out_until)

    def turn(self) -> None:
        """A node has been picked: it is another one's turn."""
        self._turn += 1

    def failed(self, node: Node) -> None:
        """Leaves a node out that could not be reached."""
        node.failures += 1
        pause = min(FIRST_PAUSE * 2 ** (node.failures - 1), LONGEST_PAUSE)
        if len(self._nodes) > 1 and not node.out:
            log.warning("the node %s cannot be reached; it is left out for %g s", node.url, pause)
        node.out_until = time.monotonic() + pause

    def answered(self, node: Node) -> None:
        """Takes a node in again."""
        if node.failures:
            log.info("the node %s answers again", node.url)
            node.failures, node.out_until = 0, 0.0

    def watch(self, healthy: Callable[[Node], Awaitable[bool]], interval: float) -> None:
        """Asks every node each `interval` seconds whether it is there; a single node is not asked."""
        if len(self._nodes) > 1:
            self._task = asyncio.create_task(self._watch(healthy, interval))

    async def _watch(self, healthy: Callable[[Node], Awaitable[bool]], interval: float) -> None:
        while True:
            await asyncio.sleep(interval)
            nodes = self._nodes
            for node, good in zip(nodes, await asyncio.gather(*(healthy(node) for node in nodes)), strict=True):
                (self.answered if good else self.failed)(node)

    async def stop(self) -> None:
        """Ends the health checks."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
