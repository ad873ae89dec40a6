"""Streams of other workers: whatever a worker does, its connection is closed and the others go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from headrace.ops import following
from headrace.ops.following import Following
from headrace.ops.messages import MAX_FRAME, Follow, framed, read_frame, read_message

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Worker:
    """A worker at a socket; `closed` is set when its asker has closed the connection."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.asked: list[object] = []
        self.closed = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.append(await read_message(reader))
        try:
            await self._answer(reader, writer)
            await reader.read()
            # The asker may have ended its side alone: empty frames find out.
            while not writer.is_closing():
                writer.write(framed(b""))
                await writer.drain()
                await asyncio.sleep(0.01)
        except OSError:
            pass
        finally:
            self.closed.set()
            writer.close()


@asynccontextmanager
async def workers(folder: Path, **answers: Answer) -> AsyncIterator[tuple[dict[str, Worker], list[Path]]]:
    found = {name: Worker(answer) for name, answer in answers.items()}
    paths = [folder / f"{name}.sock" for name in found]
    servers = [
        await asyncio.start_unix_server(worker, path) for worker, path in zip(found.values(), paths, strict=True)
    ]
    try:
        yield found, paths
    finally:
        for server in servers:
            server.close()


async def sends(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(framed(b"first") + framed(b"second"))


async def sends_last(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(framed(b"first"))
    await reader.read()
    writer.write(framed(b"last"))
    writer.write_eof()


async def is_silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def sends_too_much(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write((MAX_FRAME + 1).to_bytes(4, "big"))


async def sends_nonsense(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(framed(b"bad"))


async def sends_nonsense_later(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(framed(b"first") + framed(b"bad"))


def receiving(found: list[tuple[str, bytes]]) -> Callable[[str, bytes], None]:
    def receive(name: str, frame: bytes) -> None:
        if frame == b"bad":
            raise msgspec.DecodeError("no frame")
        if frame:
            found.append((name, frame))

    return receive


async def test_frames_come_until_the_last_of_each_worker(tmp_path: Path):
    found: list[tuple[str, bytes]] = []
    async with workers(tmp_path, a=sends_last, b=sends_last) as (there, paths):
        stream = Following(lambda: paths, b"wanted", receiving(found))
        await stream.start()
        await stream.stop()
    assert sorted(found) == [("a", b"first"), ("a", b"last"), ("b", b"first"), ("b", b"last")]
    assert [worker.asked for worker in there.values()] == [[Follow(b"wanted")]] * 2


@pytest.mark.parametrize("answer", [is_silent, sends_too_much, sends_nonsense, sends_nonsense_later])
async def test_a_worker_that_is_odd_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Answer):
    monkeypatch.setattr(following, "CONNECT_SECONDS", 0.2)
    monkeypatch.setattr(following, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(following, "LAST_SECONDS", 0.05)
    found: list[tuple[str, bytes]] = []
    async with workers(tmp_path, odd=answer, good=sends) as (there, paths):
        stream = Following(lambda: paths, b"", receiving(found))
        await stream.start()
        await asyncio.wait_for(there["odd"].closed.wait(), 5)
        there["odd"].closed.clear()
        await asyncio.wait_for(there["odd"].closed.wait(), 5)
        await stream.stop()
    assert len(there["odd"].asked) > 1, "it is asked again and again"
    assert [frame for name, frame in found if name == "good"] == [b"first", b"second"]


async def test_connections_are_closed_where_the_start_is_cancelled(tmp_path: Path):
    async with workers(tmp_path, quick=sends, slow=is_silent) as (there, paths):
        stream = Following(lambda: paths, b"", receiving([]))
        starting = asyncio.create_task(stream.start())
        while not all(worker.asked for worker in there.values()):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        starting.cancel()
        await asyncio.wait([starting])
        await stream.stop()
        for worker in there.values():
            await asyncio.wait_for(worker.closed.wait(), 5)
        assert stream._streams == {}


async def test_connections_are_closed_where_the_end_is_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(following, "LAST_SECONDS", 60)
    async with workers(tmp_path, a=sends) as (there, paths):
        stream = Following(lambda: paths, b"", receiving([]))
        await stream.start()
        (writer, _) = stream._streams[paths[0]]
        ending = asyncio.create_task(stream.stop())
        await asyncio.sleep(0.05)
        ending.cancel()
        await asyncio.wait([ending])
        assert writer.is_closing()
        await asyncio.wait_for(there["a"].closed.wait(), 5)


async def test_what_is_no_frame_or_message():
    for sent in (b"", b"\0\0", b"\0\0\0\5abc"):
        reader = asyncio.StreamReader()
        reader.feed_data(sent)
        reader.feed_eof()
        assert await read_frame(reader) is None
    reader = asyncio.StreamReader()
    reader.feed_data((MAX_FRAME + 1).to_bytes(4, "big"))
    with pytest.raises(ConnectionError):
        await read_frame(reader)
    reader = asyncio.StreamReader()
    reader.feed_data(framed(msgspec.msgpack.encode({"type": "odd"})))
    with pytest.raises(ConnectionError):
        await read_message(reader)
