"""Answers of ours to a request: JSON in the media type that it asks for, and whole responses of the cluster."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import hdrs

from headrace.http1 import headers as header_lines
from headrace.protocol.headers.encoding import accepts_gzip, deflate
from headrace.protocol.media import types
from headrace.protocol.media.types import Media
from headrace.server.response import COMPRESSED, SMALL, send_lines
from headrace_pipelines import filter_path

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.server.request import RequestContext
    from headrace.upstream.client import Answer


async def reply(context: RequestContext, status: int, body: bytes) -> web.StreamResponse:
    """Answers with JSON of ours, `filter_path` and `pretty` honoured, in the type that is asked for."""
    if context.explain is not None:
        body = await context.explain(body)
    body, media = typed(context, shaped(context, body))
    return await _reply(
        context, status, header_lines.lines_back(context.request, [_is(media)], context.response_headers), body
    )


async def _reply(context: RequestContext, status: int, lines: bytes, body: bytes) -> web.StreamResponse:
    if len(body) >= COMPRESSED and accepts_gzip(context.request.headers.get(hdrs.ACCEPT_ENCODING, "")):
        body = await asyncio.to_thread(deflate, body) if len(body) > SMALL >> 2 else deflate(body)
        lines += b"Content-Encoding: gzip\r\n"
    return await send_lines(context.request, status, "", lines, body)


def shaped(context: RequestContext, body: bytes) -> bytes:
    """`body` as `filter_path` and `pretty` ask for it."""
    if patterns := context.target.get("filter_path"):
        body = filter_path(body, [p.strip() for p in patterns.split(",")])
    if context.target.flag("pretty"):
        body = msgspec.json.format(body, indent=2) + b"\n"
    return body


def typed(context: RequestContext, body: bytes) -> tuple[bytes, Media]:
    """A JSON text in the media type that is asked for; in JSON if it cannot be."""
    if context.response_media is Media.JSON:
        return body, Media.JSON
    try:
        return (types.from_json(context.response_media, body) if body else body), context.response_media
    except ValueError:
        return body, Media.JSON


async def reply_json(context: RequestContext, status: int, value: Any) -> web.StreamResponse:
    """Answers with a value as JSON."""
    return await reply(context, status, msgspec.json.encode(value))


async def reply_run(context: RequestContext, status: int, value: Any) -> web.StreamResponse:
    """Answers with what runs made, or why they failed, as JSON in which no secret stands (`${secret:NAME}`)."""
    return await reply(context, status, context.secrets.hidden_in(msgspec.json.encode(value)))


async def reply_answer(context: RequestContext, answer: Answer, body: bytes | None = None) -> web.StreamResponse:
    """Sends a whole answer of the cluster on, in the type that is asked for; another body, if given, is shaped."""
    if context.explain is not None and answer.json:
        body = await context.explain(answer.body if body is None else body)
    raw, text = answer.raw_headers, answer.body if body is None else shaped(context, body)
    if context.response_media is not Media.JSON and answer.json:
        text, media = typed(context, text)
        raw = [*(pair for pair in raw if pair[0].lower() != b"content-type"), _is(media)]
    elif body is not None and not answer.typed:
        raw = [*raw, _is(Media.JSON)]
    serialized = answer.lines if raw is answer.raw_headers else None
    lines = header_lines.lines_back(context.request, raw, context.response_headers, serialized)
    if body is not None:
        return await _reply(context, answer.status, lines, text)
    return await send_lines(context.request, answer.status, answer.reason, lines, text)


def _is(media: Media) -> tuple[bytes, bytes]:
    return b"Content-Type", media.value.encode()
