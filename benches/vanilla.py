"""What users would write instead: a plain aiohttp proxy, with or without a transform of bulks by msgspec dicts."""

from __future__ import annotations

import sys

import aiohttp
import msgspec
import uvloop
from aiohttp import web

PASSED = {"content-type", "accept"}


async def forward(request: web.Request) -> web.Response:
    """Buffers, transforms a bulk if told to, forwards, buffers the answer."""
    body = await request.read()
    if request.app["transform"] and request.path.endswith("/_bulk"):
        body = transform(body)
    headers = {k: v for k, v in request.headers.items() if k.lower() in PASSED}
    session: aiohttp.ClientSession = request.app["session"]
    async with session.request(
        request.method, request.app["upstream"] + request.path_qs, data=body, headers=headers
    ) as answer:
        return web.Response(body=await answer.read(), status=answer.status, content_type=answer.content_type)


def transform(body: bytes) -> bytes:
    """Adds a field, lowercases one, drops documents of level DEBUG."""
    lines = body.split(b"\n")
    out = []
    for action, source in zip(lines[0::2], lines[1::2], strict=False):
        document = msgspec.json.decode(source)
        if document["level"] == "DEBUG":
            continue
        document["level"] = document["level"].lower()
        document["env"] = "prod"
        out += [action, msgspec.json.encode(document)]
    return b"\n".join(out) + b"\n"


async def make(upstream: str, *, with_transform: bool) -> web.Application:
    """The application."""
    app = web.Application(client_max_size=1 << 28)
    app["upstream"], app["transform"] = upstream, with_transform
    app["session"] = aiohttp.ClientSession()
    app.router.add_route("*", "/{path:.*}", forward)
    return app


async def main(upstream: str, port: int, with_transform: bool) -> None:
    """Serves until killed."""
    import asyncio

    runner = web.AppRunner(await make(upstream, with_transform=with_transform), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3] == "transform"))
