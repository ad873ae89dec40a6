"""Requests that the table is measured with: one that repeats, and traffic as people have it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

TRACED = (
    b"User-Agent: opensearch-py/3.1.0 (Python 3.13.1)\r\nAccept: application/json\r\nConnection: keep-alive\r\n"
    b"Authorization: Bearer %032x\r\ntraceparent: 00-%032x-%016x-01\r\nX-Opaque-Id: %d\r\n"
)
"""Headers of a client that is traced."""


@dataclass
class Case:
    """Requests that are sent in turn; `weight` of them make a round of about half a second."""

    name: str
    requests: bytes | list[bytes]
    weight: int
    contenders: list[str]
    unlike: bool = False
    """Whether each request has headers of its own, as clients that are traced send them."""

    def sent(self, number: int) -> bytes:
        """The request, as it is sent for the so many-th time; `{id}` in its target is the number."""
        request = self.requests if isinstance(self.requests, bytes) else self.requests[number % len(self.requests)]
        if not self.unlike:
            return request
        line, rest = request.split(b"\r\n", 1)
        return b"%b\r\n%b%b" % (line.replace(b"{id}", b"%d" % number), TRACED % ((number,) * 4), rest)


def http(method: str, target: str, body: bytes, kind: str = "application/json") -> bytes:
    """A request as bytes."""
    head = f"{method} {target} HTTP/1.1\r\nHost: b\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def document(i: int) -> dict[str, Any]:
    """A log line as shippers send it: 24 values, nested objects, a list, about 550 bytes."""
    return {
        "@timestamp": f"2026-11-23T05:{i % 60:02}:{i % 59:02}.{i % 1000:03}Z",
        "level": "DEBUG" if i % 10 == 0 else ("INFO", "WARN", "ERROR")[i % 3],
        "message": f"GET /api/v1/orders/{i} took {i % 977} ms and returned {i % 13} items to the caller",
        "service": {"name": "orders", "version": "4.17.2", "environment": "staging"},
        "host": {"name": f"node-{i % 24}", "ip": f"10.1.{i % 200}.{i % 250}", "cpu": (i % 100) / 100},
        "http": {"method": "GET", "status": 200 + i % 5, "bytes": i * 37 % 65536, "path": f"/api/v1/orders/{i}"},
        "trace": {"id": f"{i:032x}", "span": f"{i:016x}"},
        "tags": ["web", "eu-central", "canary"],
        "user": f"user-{i % 1000}@example.org",
        "duration_ms": (i % 977) + 0.25,
        "cached": i % 2 == 0,
        "retries": 0,
    }


def unaddressed(i: int) -> bytes:
    """An action line without an id, as most shippers send it."""
    return b'{"index":{"_index":"i"}}'


def addressed(i: int) -> bytes:
    """An action line for one of 20 indexes, with an id."""
    return b'{"index":{"_index":"i%d","_id":"%016x"}}' % (i % 20, i * 2654435761 % (1 << 64))


def bulk(count: int, first: int = 0, action: Callable[[int], bytes] = unaddressed) -> bytes:
    """A `_bulk` body of log lines from the `first` on, one in ten of level DEBUG."""
    lines = [part for i in range(first, first + count) for part in (action(i), json.dumps(document(i)).encode())]
    return b"\n".join(lines) + b"\n"


def searches(target: str) -> list[bytes]:
    """200 queries over 20 indexes."""
    return [
        http("POST", target.format(i % 20), json.dumps({"query": {"match": {"text": f"q{i}" * (1 + i % 30)}}}).encode())
        for i in range(200)
    ]


def gets(target: str) -> list[bytes]:
    """Documents of 20 indexes."""
    return [f"GET {target.format(i)} HTTP/1.1\r\nHost: b\r\n\r\n".encode() for i in range(20)]


def bulks(target: str, count: int = 10, bodies: int = 50) -> list[bytes]:
    """Bulks of `count` documents over 20 indexes, each with an id."""
    return [http("POST", target, bulk(count, count * i, addressed), "application/x-ndjson") for i in range(bodies)]
