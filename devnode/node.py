"""A node for tests: the server comes from Maven Central, with all its modules."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

from devnode import fetch
from headrace.cli.demo import node
from headrace.cli.demo.node import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Node", "free_port", "running_cluster", "running_node", "stop_on_sigterm"]


class Node(node.Node):
    """One node of the release that the tests compare with."""

    def home(self) -> Path:
        """The unpacked server; fetched if it is not there. Raises NodeError."""
        return fetch.server()


@contextlib.contextmanager
def running_node(**options: bool | str) -> Iterator[str]:
    """The URL of a node: the one that `OPENSEARCH_URL` names, else one that runs as long as the context."""
    if url := os.environ.get("OPENSEARCH_URL"):
        yield url.rstrip("/")
        return
    node = Node(**options)  # type: ignore[arg-type]
    try:
        node.start()
        yield node.url
    finally:
        node.stop()


@contextlib.contextmanager
def running_cluster(count: int, port: int | None = None, **options: bool | str) -> Iterator[list[str]]:
    """The URLs of the nodes of one cluster of this machine; `port`: of the first one, others have free ones."""
    with contextlib.ExitStack() as stack:
        first = Node(port, joinable=count > 1, **options)  # type: ignore[arg-type]
        nodes = [first, *(Node(joins=first, **options) for _ in range(count - 1))]  # type: ignore[arg-type]
        for node in nodes:
            stack.callback(node.stop)
            node.start()
        yield [node.url for node in nodes]


def stop_on_sigterm() -> None:
    """Makes SIGTERM what Ctrl-C is, a KeyboardInterrupt, so that context managers stop what they started."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
