"""`headrace top` and the tables of statistics, against a real proxy; the terminal is as before in the end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import select
import signal
import sys
import termios
import time

import pytest

from tests.conftest import Http, native

FAIL = native("f", "fail", message="no") | {"if": "has(doc.bad)", "on_failure": "continue"}


async def write(through: Http, name: str, begun: asyncio.Event, over: asyncio.Event) -> None:
    """Writes until the event `over`: one document of two fails in the second stage."""
    count = 0
    while not over.is_set():
        count += 1
        made = await through.put(f"/{name}/_doc/1?pipeline={name}", {"bad": 1} if count % 2 else {})
        assert made.status in (200, 201), made.body
        if count > 1:
            # The index is there now: the next ones are quick.
            begun.set()


@contextlib.asynccontextmanager
async def traffic(through: Http, name: str):
    await through.pipeline(name, "document", native("s", "set", field="x", value=1), FAIL)
    begun, over = asyncio.Event(), asyncio.Event()
    writing = asyncio.create_task(write(through, name, begun, over))
    try:
        await asyncio.wait([asyncio.create_task(begun.wait()), writing], return_when=asyncio.FIRST_COMPLETED)
        yield
    finally:
        over.set()
        await writing


async def test_one_interval_of_top(through: Http, name: str, run):
    async with traffic(through, name):
        code, out, _ = await run("top", "--once", "--every", "500ms", "-o", "json")
        assert code == 0
        shown = json.loads(out)
        (row,) = shown["pipelines"]
        assert (row["name"], shown["workers"], shown["notes"]) == (f"document:{name}@1", 1, [])
        assert row["documents_per_second"] > 1
        assert 0 < row["stages"][1]["failures_per_second"] < row["documents_per_second"]
        assert row["failures_per_second"] == 0, "the failures are passed over"
        assert 0 < row["p50_ms"] <= row["p99_ms"]
        assert [stage["name"] for stage in row["stages"]] == ["s", "f"]
        code, out, _ = await run("top", "--once", "--every", "200ms", "--sort", "p99", "--pipeline", name)
        assert [line.split()[0] for line in out.splitlines()] == ["PIPELINE", f"document:{name}@1", "s", "f"]
        code, out, err = await run("top", "--once", "--every", "200ms", "--pipeline", "no")
        assert (code, out, err) == (0, "", "nothing found\n")


async def test_a_proxy_that_does_not_answer_is_named(through: Http, name: str, run):
    gone = "http://127.0.0.1:1"
    code, _, err = await run("top", "--once", "--every", "200ms", "--url", gone)
    assert (code, err.startswith(f"error: {gone} cannot be reached")) == (5, True), err
    async with traffic(through, name):
        code, out, _ = await run(
            "top", "--once", "--every", "300ms", "--url", gone, "--url", through.base, "-o", "json"
        )
    assert code == 0
    shown = json.loads(out)
    assert len(shown["pipelines"]) == 1
    assert shown["notes"][0].startswith(f"{gone} cannot be reached")
    assert (await run("top", "--once", "--every", "1ms"))[0] == 2


@pytest.mark.parametrize("end", ["q", "sigterm"])
async def test_keys_sort_and_the_terminal_is_restored(through: Http, name: str, end: str):
    async with traffic(through, name):
        status, out, before, during, after = await asyncio.to_thread(on_terminal, through.base, end)
    assert f"document:{name}@1" in out
    assert "sorted by docs" in out
    assert "sorted by p99" in out
    assert not during & termios.ICANON
    assert after == before
    assert out.rindex("\x1b[?1049l") > out.rindex("\x1b[?1049h")
    assert os.waitstatus_to_exitcode(status) == (0 if end == "q" else 130)


def on_terminal(url: str, end: str) -> tuple[int, str, int, int, int]:
    """Runs top on a terminal: p is pressed once it shows a pipeline, and then it is ended. Gives modes and output."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm", COLUMNS="120", LINES="20", HEADRACE_URL=url)
        os.environ.pop("NO_COLOR", None)
        os.execv(sys.executable, [sys.executable, "-m", "headrace", "top", "--every", "200ms"])
    before, during, shown, pressed = termios.tcgetattr(terminal)[3], 0, "", False
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                shown += os.read(terminal, 1 << 16).decode(errors="replace")
            except OSError:
                break
        if not pressed and "document:" in shown:
            during, pressed = termios.tcgetattr(terminal)[3], True
            os.write(terminal, b"p")
        elif pressed and "sorted by p99" in shown:
            os.write(terminal, b"q") if end == "q" else os.kill(pid, signal.SIGTERM)
            while select.select([terminal], [], [], 2)[0]:
                try:
                    shown += os.read(terminal, 1 << 16).decode(errors="replace")
                except OSError:
                    break
            break
    after = termios.tcgetattr(terminal)[3]
    for _ in range(50):
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            break
        time.sleep(0.1)
    else:
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    return status, shown, before, during, after


async def test_statistics_are_a_table(through: Http, name: str, run):
    await through.pipeline(name, "document", native("s", "set", field="x", value=1))
    for _ in range(3):
        await through.put(f"/{name}/_doc/1?pipeline={name}", {})
    code, out, _ = await run("pipeline", "stats", name)
    heading, pipeline, stage = (line.split() for line in out.splitlines())
    assert (code, heading[:5]) == (0, ["NAME", "VERSION", "STAGE", "RUNS", "DOCUMENTS"])
    assert pipeline[:4] == [name, "1", "3", "3"]
    assert stage[:3] == ["s", "3", "3"]
    assert json.loads((await run("pipeline", "stats", name, "-o", "json"))[1])["total_executions"] == 3
    assert "total_executions: 3" in (await run("pipeline", "stats", name, "-o", "yaml"))[1]
    assert (await run("pipeline", "stats"))[1].splitlines()[1:] == out.splitlines()[1:]
