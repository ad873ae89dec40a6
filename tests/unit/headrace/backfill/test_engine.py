"""Workers in processes: their errors come back, those that are lost are replaced, and items do not end them for ever."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator

import msgspec
import pytest

from headrace.backfill import Connection, JobSpec, WorkItem, engine
from headrace.backfill.engine import LocalEngine, Progress
from headrace.backfill.spec import BackfillError
from headrace.cli.commands.jobs.prepared import ENDING, ended_in_order
from headrace.client.errors import ClientError
from headrace_pipelines import Bundle
from tests.conftest import native
from tests.unit.headrace.backfill.fake import Cluster, documents


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    cluster = Cluster(documents(600))
    yield cluster
    cluster.close()


@pytest.fixture
def job(cluster: Cluster) -> JobSpec:
    stages = [native("s", "set", field="seen", value=True)]
    text = json.dumps({"type": "document", "version": "1", "stages": stages}).encode()
    bundle, where = Bundle((("p", text),)), Connection(url=cluster.url)
    return JobSpec(job="j", source="s", target="t", pipeline="p@1", bundle=bundle, cluster=where, patience=0.2)


ITEMS = [WorkItem(index="s", shard=0, low=low, high=low + 200) for low in (0, 200, 400)]


def killer(local: LocalEngine, count: int) -> threading.Thread:
    """Kills the first worker that there is, so often."""

    def kill() -> None:
        killed: set[int] = set()
        while len(killed) < count:
            for pid in set(local.pids) - killed:
                killed.add(pid)
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    return thread


def test_items_of_lost_workers_run_again(cluster: Cluster, job: JobSpec):
    told: list[Progress] = []
    with LocalEngine(1) as local:
        thread = killer(local, 1)
        result = local.run(job, ITEMS, told.append)
        thread.join()
        assert local.lost == 1
        # The worker lives on for the next pass.
        (pid,) = local.pids
        assert local.run(job, ITEMS[:1]).counts.written == 200
        assert local.pids == [pid]
    assert (result.counts.read, result.counts.written) == (600, 600)
    assert set(cluster.indexed) == {f"d{n}" for n in range(600)}
    assert (told[-1].done, told[-1].items, told[-1].lost, told[-1].counts.read) == (3, 3, 1, 600)


def test_workers_that_come_further_do_not_end_the_job(job: JobSpec):
    """Long items on a busy machine lose their workers for reasons of their own."""
    with LocalEngine(1) as local:
        run = engine._Run(local, job, ITEMS[:1], None)
        for read in (0, 0, 0, 10, 10, 5, 20, 20, 19, 30):
            run._lost(ITEMS[0], read)
            assert run.error is None
        for _ in range(engine.MAX_ATTEMPTS - 1):
            run._lost(ITEMS[0], 30)
        assert "has ended its worker 4 times" in str(run.error)


def test_an_item_that_ends_every_worker_ends_the_job(job: JobSpec, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(engine, "MAX_ATTEMPTS", 2)
    with LocalEngine(1) as local:
        killer(local, 100)
        with pytest.raises(BackfillError, match=r"1:s:0:0-200\] has ended its worker 2 times"):
            local.run(job, ITEMS[:1])


def test_the_error_of_an_item_is_that_of_the_job(cluster: Cluster, job: JobSpec):
    cluster.script = {"_search": [(403, {"error": {"type": "security_exception", "reason": "no permissions"}})]}
    with LocalEngine(1) as local:
        with pytest.raises(ClientError) as raised:
            local.run(job, ITEMS)
        assert (raised.value.status, raised.value.reason) == (403, "no permissions")
        broken = Bundle((("p", b'{"type":"document","stages":[]}'),))
        with pytest.raises(BackfillError, match="at least one stage"):
            local.run(msgspec.structs.replace(job, bundle=broken), ITEMS)
        # An error ends no worker.
        assert local.lost == 0
        assert local.run(job, []).counts.read == 0


def test_a_worker_that_cannot_be_told_ends_the_job_in_the_end(job: JobSpec, monkeypatch: pytest.MonkeyPatch):
    """As where each process ends while a bundle that no pipe holds is sent to it."""
    monkeypatch.setattr(engine, "MAX_ATTEMPTS", 2)
    monkeypatch.setattr(engine._Worker, "assign", lambda *_: False)
    with LocalEngine(1) as local, pytest.raises(BackfillError, match="has ended its worker 2 times"):
        local.run(job, ITEMS[:1])


@pytest.mark.parametrize("ending", ENDING)
def test_a_command_that_is_told_to_end_undoes_what_it_began(ending: signal.Signals):
    """Once: who tells it again, as a terminal that is closed does, must not keep it from that."""
    before = signal.getsignal(ending)
    undone = []

    def told() -> None:
        try:
            signal.raise_signal(ending)
        finally:
            for again in ENDING:
                signal.raise_signal(again)
            undone.append(ending)

    with pytest.raises(KeyboardInterrupt), ended_in_order():
        told()
    assert undone == [ending]
    assert signal.getsignal(ending) is before


def test_a_signal_that_is_ignored_stays_so():
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_in_order():
            signal.raise_signal(signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
