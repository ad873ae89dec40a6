"""Answers that come line by line, for both clients: opensearch-py reads answers whole."""

from __future__ import annotations

import http.client
import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import aiohttp
import msgspec

from headrace.client import transport
from headrace.client.errors import UnreachableError, error_of
from headrace.client.exchange import NDJSON, context_of, signed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from headrace.client.target import Target

PATIENCE_SECONDS = 30.0
"""Seconds beyond the duration of a stream for which its next line is waited for."""


def _number(text: str) -> float | Decimal:
    """A number with a fraction or an exponent; one that no float holds keeps its digits, as a Decimal."""
    number = float(text)
    return number if math.isfinite(number) else Decimal(text)


_LINE = msgspec.json.Decoder(dict[str, Any], float_hook=_number)


def lines(target: Target, request: transport.Request, seconds: float) -> Iterator[dict[str, Any]]:
    """The lines of an answer that lasts so many seconds. Raises ClientError, UnreachableError."""
    url, headers = _prepared(target, request, asynchronous=False)
    parts = urlsplit(url)
    timeout = seconds + PATIENCE_SECONDS
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(parts.netloc, timeout=timeout, context=context_of(target))
    else:
        connection = http.client.HTTPConnection(parts.netloc, timeout=timeout)
    try:
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        connection.request(request.method, path, request.payload(), headers)
        answer = connection.getresponse()
        if answer.status != http.client.OK:
            raise error_of(answer.status, _decoded(answer.read()))
        while line := answer.readline():
            if line.strip():
                yield _LINE.decode(line)
    except (OSError, http.client.HTTPException) as error:
        raise UnreachableError(f"{target.url} cannot be reached: {error or type(error).__name__}") from None
    finally:
        connection.close()


async def async_lines(target: Target, request: transport.Request, seconds: float) -> AsyncIterator[dict[str, Any]]:
    """The same for an event loop."""
    url, headers = _prepared(target, request, asynchronous=True)
    timeout = aiohttp.ClientTimeout(total=None, sock_read=seconds + PATIENCE_SECONDS, sock_connect=target.timeout)
    options: dict[str, Any] = {"ssl": context_of(target)} if url.startswith("https:") else {}
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, read_bufsize=1 << 20) as session,
            session.request(request.method, url, data=request.payload(), headers=headers, **options) as answer,
        ):
            if answer.status != http.client.OK:
                raise error_of(answer.status, _decoded(await answer.read()))
            async for line in _split(answer):
                yield line
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise UnreachableError(f"{target.url} cannot be reached: {error or type(error).__name__}") from None


async def _split(answer: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    """The lines of a body, however long they are."""
    rest = b""
    async for piece in answer.content.iter_any():
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            if line.strip():
                yield _LINE.decode(line)


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError:
        return body.decode(errors="replace")


def _prepared(target: Target, request: transport.Request, *, asynchronous: bool) -> tuple[str, dict[str, str]]:
    """Address and headers of a request, signed in as the target says. Raises InvalidError."""
    query = f"?{urlencode(request.params)}" if request.params else ""
    url = f"{target.url.rstrip('/')}{request.path}{query}"
    options = transport.options(target, asynchronous=asynchronous)
    headers: dict[str, str] = {**options["headers"], **request.headers(), "accept": NDJSON}
    signed(options, request.method, url, request.payload(), headers)
    return url, headers
