"""Limits of a node for the head of a request, and the reuse of its connection after a refusal.

A node refuses a longer line or longer headers with a 400 that does not say `Connection: close`, and reads nothing more
of that connection (`http.max_initial_line_length`, `http.max_header_size`; measured on 3.8.0: the line is counted
without its end, headers are counted together, without line ends). So is it with every head that it cannot parse.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from headrace_pipelines.errors import HeadraceError

if TYPE_CHECKING:
    from collections.abc import Iterable

SAFE = 2048
"""Bytes of a head that every node accepts: shorter heads need no check."""
ADDED = 512
"""Maximum of bytes that forwarding adds to a head (`Host`, framing, address), a rewritten target aside."""
FIRST_ERROR = 400
"""The lowest status of an error."""
UNREAD = frozenset({413, 414, 417, 431, 501, 505})
"""Statuses by which a node may refuse a request that it has not read to its end."""
_UNUSUAL = re.compile(rb"[^\x20-\x7e\r\n]")
"""Bytes that a node may not take in a head."""


class LongLineError(HeadraceError):
    """A request line over the limit, in the node's words."""

    status = 400
    type = "too_long_http_line_exception"


class LongHeaderError(HeadraceError):
    """Headers over the limit, in the node's words."""

    status = 400
    type = "too_long_http_header_exception"


class NodeHeadLimits(NamedTuple):
    """Bytes of the longest request line, of all headers, and of those that the proxy adds."""

    line: int
    headers: int
    added: int

    @classmethod
    def of(cls, line: int, headers: int, nodes: Iterable[str]) -> NodeHeadLimits:
        """For nodes by their URLs."""
        return cls(line, headers, max(len(urlsplit(node).netloc) for node in nodes) + len(_ADDED))

    def check(self, method: str, target: str, head: bytes) -> None:
        """Raises LongLineError or LongHeaderError. `head`: header lines, but for `Host` and the framing."""
        if len(target) + len(head) <= SAFE:
            return
        if len(method) + len(target.encode("utf-8", "surrogateescape")) + len("  HTTP/1.1") > self.line:
            raise LongLineError(f"An HTTP line is larger than {self.line} bytes.")
        if len(head) - len(_END) * head.count(_END) + self.added > self.headers:
            raise LongHeaderError(f"HTTP header is larger than {self.headers} bytes.")


_ADDED = "Host: " + "Content-Length: 1000000000"
_END = b"\r\n"


def sound(status: int, first: bytes) -> bool:
    """Whether a node that answers `status` to a request with the head `first` goes on reading its connection."""
    if status < FIRST_ERROR:
        return True
    if status in UNREAD:
        return False
    return status != 400 or (len(first) <= SAFE and _UNUSUAL.search(first) is None)
