"""Header lines as they pass: what is sent on to the cluster, and what is sent back.

Hop-by-hop headers end here (RFC 9110, section 7.6.1), everything else passes unchanged, byte for byte, duplicates
included; `X-Forwarded-For` is appended to.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from multidict import CIMultiDict

from headrace_pipelines.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from aiohttp import web

    RawHeaders = Sequence[tuple[bytes, bytes]]

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
ADMIN_HEADER = "X-Headrace-Admin-Token"
"""Carries the admin token; never sent on."""
VENDOR_MEDIA = "headrace.vendor_media"
"""Key in a request for the vendor media type that its client expects in place of `application/json`."""
_NOT_SENT_ON = HOP_BY_HOP | {b"host", b"expect", b"content-length", ADMIN_HEADER.lower().encode()}
_NOT_SENT_BACK = HOP_BY_HOP | {b"content-length"}
_ALWAYS_NAMED = frozenset({b"close", b"keep-alive"})
_LINE_ENDS = frozenset(b"\r\n\0")


def request_headers(raw: RawHeaders, peer: str | None) -> CIMultiDict[str]:
    """The client's headers as they are sent on, for who changes them; [`lines_of`] makes a head of them."""
    headers = _passed(raw, _NOT_SENT_ON)
    if peer:
        headers["X-Forwarded-For"] = ", ".join([*headers.getall("X-Forwarded-For", ()), peer])
    return headers


def lines_back(
    request: web.BaseRequest, raw: RawHeaders, extra: CIMultiDict[str] | None, present: bytes | None = None
) -> bytes:
    """An answer's header lines as they are sent back, with those that are `extra`. Raises UpstreamError.

    `present`: the same without those, if they are at hand.
    """
    vendor = request.get(VENDOR_MEDIA, "")
    lines = present if present is not None and not vendor else _lines(raw, _NOT_SENT_BACK, vendor)
    return lines + _of_pairs_once(tuple(extra.items())) if extra else lines


def without(lines: bytes, names: Collection[bytes]) -> bytes:
    """Header lines without the headers of these names, in lower case."""
    kept = [line for line in lines.split(b"\r\n") if line.partition(b":")[0].strip().lower() not in names]
    return b"\r\n".join(kept)


def lines_of(headers: CIMultiDict[str]) -> bytes:
    """Header lines of headers; framing is not theirs to say. Raises ValueError for a line end in one."""
    return _of_pairs(headers.items())


def _of_pairs(headers: Iterable[tuple[str, str]]) -> bytes:
    lines = []
    for name, value in headers:
        if "\n" in value or "\r" in value or "\0" in value:
            raise ValueError(f"a line end in the header {name}")
        if name.lower() != "content-length":
            lines.append(f"{name}: {value}\r\n")
    return "".join(lines).encode("utf-8", "surrogateescape")


_of_pairs_once = lru_cache(maxsize=512)(_of_pairs)
"""Cached: headers of our own repeat, and none is a secret."""


def _lines(raw: RawHeaders, dropped: frozenset[bytes], vendor: str = "") -> bytes:
    """Header lines without those that are dropped; `vendor` is what `application/json` is called.

    Raises UpstreamError for a line end in one.
    """
    kept = _kept(raw, dropped)
    if vendor:
        kept = [(name, _vendors(name, value, vendor)) for name, value in kept]
    lines = b"\r\n".join([b": ".join(pair) for pair in kept] + [b""])
    if lines.count(b"\n") != len(kept) or lines.count(b"\r") != len(kept) or b"\0" in lines:
        found = next(name for name, value in kept if not _LINE_ENDS.isdisjoint(name + value))
        raise UpstreamError(f"a line end in the header {found.decode('ascii', 'replace')}")
    return lines


def _vendors(name: bytes, value: bytes, vendor: str) -> bytes:
    json = value.startswith(b"application/json") and name.lower() == b"content-type"
    return vendor.encode() if json else value


def _passed(raw: RawHeaders, dropped: frozenset[bytes]) -> CIMultiDict[str]:
    return CIMultiDict(
        (name.decode("ascii", "replace"), value.decode("utf-8", "surrogateescape"))
        for name, value in _kept(raw, dropped)
    )


def _kept(raw: RawHeaders, dropped: frozenset[bytes]) -> list[tuple[bytes, bytes]]:
    """Headers without those that are dropped (`Connection` is), and without those that `Connection` names."""
    kept: list[tuple[bytes, bytes]] = []
    named: set[bytes] = set()
    for pair in raw:
        name = pair[0].lower()
        if name not in dropped:
            kept.append(pair)
        elif name == b"connection":
            named.update(token.strip().lower() for token in pair[1].split(b","))
    named -= _ALWAYS_NAMED
    return [pair for pair in kept if pair[0].lower() not in named] if named else kept
