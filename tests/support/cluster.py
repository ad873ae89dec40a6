"""A cluster at the network's edge that says what it is told: for what a real node would never say."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field


@dataclass
class Cluster:
    """Speaks just enough HTTP to keep what was sent and to send back what it is told, raw."""

    answers: dict[str, bytes | list[bytes]] = field(default_factory=dict)
    """By path; one in pieces comes in pieces, `pause` seconds apart."""
    early: dict[str, bytes] = field(default_factory=dict)
    """By path: what is said once a megabyte of the body is here; nothing: the connection is cut."""
    deaf: set[str] = field(default_factory=set)
    """Paths whose bodies nobody reads."""
    pause: float = 0.02
    seen: list[bytes] = field(default_factory=list)
    broken: int = 0
    """Requests whose bodies are not whole."""
    gone: int = 0
    """Connections that have ended."""
    connections: int = 0
    port: int = 0

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                target = head.split(b" ", 2)[1].decode()
                if target in self.deaf:
                    await asyncio.sleep(5)
                    break
                if target in self.early:
                    await reader.readexactly(1 << 20)
                    writer.write(self.early[target])
                    if not self.early[target]:
                        writer.transport.abort()
                        break
                    while await reader.read(1 << 16):
                        pass
                    break
                self.broken += 1
                body = await self._body(reader, head)
                self.broken -= 1
                registry = target.startswith("/.headrace")
                own = ("/_alias", "/_resolve", "/_cluster/state/version", "/_ingest/pipeline?perform_permission_check")
                if not registry and not target.startswith(own):
                    self.seen.append(head + body)
                missing = b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
                answer = missing if registry else self.answers.get(target.partition("?")[0], missing)
                if target.startswith("/_ingest/pipeline?perform_permission_check"):
                    # As a cluster without the security plugin says it.
                    told = b'{"error":"contains unrecognized parameter: [perform_permission_check]","status":400}'
                    answer = (
                        b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                        % len(told)
                    )
                    answer += told
                pieces = [answer] if isinstance(answer, bytes) else answer
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    if len(pieces) > 1:
                        await asyncio.sleep(self.pause)
                if any(b"X-Cut: 1" in piece for piece in pieces):
                    break
        except (asyncio.IncompleteReadError, ConnectionError, RuntimeError):
            # RuntimeError: uvloop's for a transport that has been closed.
            pass
        self.gone += 1
        writer.close()

    @staticmethod
    async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
        lower = head.lower()
        if b"transfer-encoding: chunked" in lower:
            body = b""
            while True:
                size = int((await reader.readuntil(b"\r\n")), 16)
                body += await reader.readexactly(size)
                await reader.readexactly(2)
                if size == 0:
                    return body
        for line in lower.split(b"\r\n"):
            if line.startswith(b"content-length:"):
                return await reader.readexactly(int(line.split(b":")[1]))
        return b""


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """An answer, raw: its status line, its length, `headers` as they are to be sent, and `body`."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
