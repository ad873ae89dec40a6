"""What users would write instead: a plain aiohttp proxy, with or without a transform of bulks by msgspec dicts."""

from __future__ import annotations

import asyncio
import sys

import aiohttp
import msgspec
import uvloop
from aiohttp import web

HOP_BY_HOP = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
NOT_PASSED = HOP_BY_HOP | {"host", "content-length", "content-encoding"}


async def forward(request: web.Request) -> web.Response:
    """Buffers, transforms a bulk if told to, forwards, buffers the answer."""
    body = await request.read()
    if request.app["transform"] and request.path.endswith("/_bulk"):
        body = transform(body)
    headers = {k: v for k, v in request.headers.items() if k.lower() not in NOT_PASSED}
    session: aiohttp.ClientSession = request.app["session"]
    async with session.request(
        request.method, request.app["upstream"] + request.path_qs, data=body, headers=headers
    ) as answer:
        back = {k: v for k, v in answer.headers.items() if k.lower() not in NOT_PASSED}
        return web.Response(body=await answer.read(), status=answer.status, headers=back)


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


async def main(upstream: str, port: int, *, with_transform: bool) -> None:
    """Serves until killed."""
    runner = web.AppRunner(await make(upstream, with_transform=with_transform), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    work = main(sys.argv[1], int(sys.argv[2]), with_transform="transform" in sys.argv[3:])
    if "uvloop" in sys.argv[3:]:
        uvloop.run(work)
    else:
        asyncio.run(work)
