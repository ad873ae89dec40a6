"""Streams of records and of lines: nothing of them is left over, whenever and however they end."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import msgspec
import pytest

from headrace.execution.taps.bounds import StreamLimits
from headrace.execution.taps.hub import Counted, Shown, Taps
from headrace.execution.taps.selection import LogsMessage, Selection, TapMessage
from headrace.execution.taps.streams import Gathered, GatheredLogs, Streams
from headrace_pipelines.udf.catalog import Catalog
from headrace_pipelines.udf.lines import MAX_LINES, Line


class Followed:
    """The streams of other workers, as far as a test wants: they wait or fail at the start."""

    def __init__(self, start: str = "") -> None:
        self._start = start
        self.stopped = False
        self.receive: Any = None

    def follow(self, _: bytes, receive: Any) -> Any:
        self.receive = receive
        return self

    async def start(self) -> None:
        if self._start == "waits":
            await asyncio.sleep(60)
        elif self._start:
            raise OSError(self._start)

    async def stop(self) -> None:
        self.stopped = True


def log(catalog: Catalog, text: str) -> None:
    catalog.lines("u").add("u@1", "p", "s", [(0, 2, text)])


@pytest.mark.parametrize("follow", [True, False])
async def test_no_listener_is_left_of_lines(follow: bool):
    catalog = Catalog()
    log(catalog, "before")
    lines = catalog.lines("u")
    for _ in range(3):
        async with GatheredLogs(catalog, None, LogsMessage("u", 10, follow)) as gathered:
            assert [line.text for line in gathered.last()] == ["before"]
            # The UDF is deleted and stored again meanwhile.
            catalog.keep_only(set(), set())
            assert catalog.lines("u") is not lines
            catalog._lines["u"] = lines
        catalog.keep_only(set(), set())
        assert lines._listeners == ()
        catalog._lines["u"] = lines


@pytest.mark.parametrize("start", ["waits", "fails"])
async def test_a_start_that_fails_or_is_cancelled_leaves_nothing(start: str):
    catalog = Catalog()
    taps = Taps(catalog, enabled=True)
    for _ in range(6):
        for make in (
            lambda peers: Gathered(taps, peers, Selection()),
            lambda peers: GatheredLogs(catalog, peers, LogsMessage("u", 1, True)),
        ):
            peers: Any = Followed(start)

            async def enter(gathered: Any) -> None:
                async with gathered:
                    raise AssertionError("the block is not entered")

            task = asyncio.create_task(enter(make(peers)))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled() or isinstance(task.exception(), OSError)
            assert peers.stopped
    assert taps.open == ()
    assert catalog.lines("u")._listeners == ()


async def test_lines_from_threads_come_once_and_in_order():
    catalog = Catalog()
    async with GatheredLogs(catalog, None, LogsMessage("u", 0, True)) as gathered:
        threads = [
            threading.Thread(target=lambda at=at: [log(catalog, f"{at}-{n}") for n in range(200)]) for at in range(4)
        ]
        for thread in threads:
            thread.start()
        found: list[str] = []
        async with asyncio.timeout(10):
            while len(found) < 800:
                found += [line.text for line in await gathered.next(0.1)]
    assert sorted(found) == sorted({f"{at}-{n}" for at in range(4) for n in range(200)})


async def test_lines_to_another_worker_are_all_sent():
    catalog = Catalog()
    taps = Taps(catalog, enabled=True)
    sent: list[Line] = []
    ended: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def send(frame: bytes) -> None:
        sent.extend(msgspec.msgpack.decode(frame, type=list[Line]))
        await asyncio.sleep(0)

    log(catalog, "first")
    wanted = msgspec.msgpack.encode(LogsMessage("u", MAX_LINES, True))
    task = asyncio.create_task(Streams(taps, catalog)(wanted, send, ended))
    await asyncio.sleep(0.01)
    thread = threading.Thread(target=lambda: [(log(catalog, str(n)), time.sleep(0.0005)) for n in range(150)])
    thread.start()
    async with asyncio.timeout(10):
        while len(sent) < 151:
            await asyncio.sleep(0.01)
    assert [line.text for line in sent] == ["first", *map(str, range(150))]
    # The end of the process ends the stream, also where the asker does not.
    taps.close()
    await asyncio.wait_for(task, 5)
    assert catalog.lines("u")._listeners == ()


def test_a_loop_that_is_gone_fails_no_run():
    catalog = Catalog()

    async def follow() -> GatheredLogs:
        gathered = GatheredLogs(catalog, None, LogsMessage("u", 0, True))
        await gathered.__aenter__()
        return gathered

    asyncio.run(follow())
    log(catalog, "nobody hears it")


async def test_records_and_counts_of_workers_add_up():
    taps = Taps(Catalog(), enabled=True)
    peers: Any = Followed()
    encode = msgspec.msgpack.encode
    async with Gathered(taps, peers, Selection()) as gathered:
        peers.receive("a", encode(Counted(5, 0, 1)))
        peers.receive("b", encode(Counted(3, 2, 0)))
        peers.receive("a", encode(Shown(b"one", ["i"])))
        taps.open[0].deliver(Shown(b"own", ["i"]))
        records = [await gathered.next(1) for _ in range(2)]
        assert {each.record for each in records if each is not None} == {b"one", b"own"}
        assert await gathered.next(0.01) is None
        # Another worker has the number of one that has gone.
        peers.receive("a", encode(Counted(1, 0, 0)))
        assert gathered.counted == Counted(9, 2, 1)
        peers.receive("a", encode(Shown(b"unread", ["i"])))
        assert taps.held.nbytes == len(b"unread")
    assert peers.stopped
    assert taps.held.nbytes == 0
    peers.receive("a", encode(Shown(b"too late", ["i"])))
    assert taps.held.nbytes == 0


async def test_a_tap_of_another_worker_ends_with_its_asker():
    taps = Taps(Catalog(), enabled=True)
    sent: list[Any] = []
    ended: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def send(frame: bytes) -> None:
        sent.append(msgspec.msgpack.decode(frame, type=Shown | Counted))

    task = asyncio.create_task(Streams(taps, Catalog())(msgspec.msgpack.encode(TapMessage(Selection())), send, ended))
    await asyncio.sleep(0.01)
    taps.open[0].deliver(Shown(b"r", ["i"]))
    taps.open[0].seen += 7
    await asyncio.sleep(0.05)
    ended.set_result(b"")
    await asyncio.wait_for(task, 5)
    assert taps.open == ()
    assert sent == [Counted(), Shown(b"r", ["i"]), Counted(7)]


async def test_limits_end_what_waits():
    limits = StreamLimits()
    started = time.monotonic()
    async with limits.within(0.05):
        await asyncio.sleep(60)

    async def forever() -> str:
        async with limits.within(60):
            await asyncio.sleep(60)
        return "ended"

    tasks = [asyncio.create_task(forever()) for _ in range(3)]
    await asyncio.sleep(0)
    limits.close()
    assert await asyncio.gather(*tasks) == ["ended"] * 3
    assert await forever() == "ended"
    assert time.monotonic() - started < 5
    with pytest.raises(TimeoutError):
        async with StreamLimits().within(60):
            raise TimeoutError
    assert limits._limits == set()
