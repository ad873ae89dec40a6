"""A connection to the cluster that repeats what the cluster does not take now."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.client.errors import UnreachableError
from headrace.client.exchange import MAX_ANSWER, Exchange, Response, decoded
from headrace.client.transport import JSON

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.backfill.spec import Connection

BUSY = frozenset({429, 502, 503, 504})
"""Statuses of a cluster that takes a call later."""
FIRST_DELAY, LONGEST_DELAY = 0.1, 10.0
"""Seconds before the first repetition and the longest wait before a later one."""
MAX_LINKS = 8
"""Connections that a thread keeps: a job has one."""


class Backoff:
    """Waits that double, each by chance between a half and the whole, until `patience` seconds are over."""

    def __init__(self, patience: float) -> None:
        self._until = time.monotonic() + patience
        self._delay = FIRST_DELAY
        self.waited = 0.0

    def wait(self) -> bool:
        """Sleeps, and says whether there is patience for another attempt."""
        left = self._until - time.monotonic()
        if left <= 0:
            return False
        seconds = min(left, self._delay * (0.5 + random.random() / 2))  # noqa: S311 - it spreads load
        time.sleep(seconds)
        self.waited += seconds
        self._delay = min(LONGEST_DELAY, self._delay * 2)
        return True


class Link:
    """The cluster of a job. `throttled`: seconds of waiting until it took calls. Not for several threads at once."""

    def __init__(self, connection: Connection, patience: float, *, timeout: float = 0.0) -> None:
        """`timeout`: seconds for an answer; 0: as the connection says."""
        target = connection.load()
        self._exchange = Exchange(msgspec.structs.replace(target, timeout=timeout or target.timeout))
        self.patience = patience
        self.throttled = 0.0

    @classmethod
    def shared(cls, connection: Connection, patience: float) -> Link:
        """The connection of this thread, which stays open from item to item."""
        links: dict[tuple[Connection, float], Link] = _OPEN.__dict__.setdefault("links", {})
        key = (connection, patience)
        if key not in links:
            if len(links) >= MAX_LINKS:
                links.pop(next(iter(links))).close()
            links[key] = cls(connection, patience)
        return links[key]

    def call(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        *,
        media_type: str = JSON,
        limit: int = MAX_ANSWER,
    ) -> Response:
        """The answer; repeated while the cluster is busy or away, so a call must be the same in effect twice.

        Raises UnreachableError where nothing answers in time; a busy answer is the result once patience is over.
        """
        backoff = Backoff(self.patience)
        try:
            while True:
                try:
                    answer = self._exchange.request(method, path, params, body, media_type=media_type, limit=limit)
                except UnreachableError:
                    if not backoff.wait():
                        raise
                    continue
                if answer.status not in BUSY or not backoff.wait():
                    return answer
        finally:
            self.throttled += backoff.waited

    def once(self, method: str, path: str, body: bytes, *, limit: int = MAX_ANSWER) -> Response:
        """The answer of a call that must not be repeated, whatever its status. Raises UnreachableError."""
        return self._exchange.request(method, path, None, body, limit=limit, repeatable=False)

    def json(self, method: str, path: str, params: Mapping[str, str] | None = None, body: Any = None) -> Any:
        """The decoded answer. Raises ClientError for one that is an error, and what [`call`] raises."""
        return decoded(self.call(method, path, params, None if body is None else msgspec.json.encode(body)))

    def close(self) -> None:
        """Closes the connection."""
        self._exchange.close()


_OPEN = threading.local()
