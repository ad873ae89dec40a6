"""Settings that several jobs need at once, in any order of their beginnings and ends, in order or not."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.backfill import Connection
from headrace.backfill.cluster import holds
from headrace.backfill.cluster.holds import Hold
from headrace.backfill.cluster.link import Link
from tests.unit.headrace.backfill.fake import Cluster

SETTING = "index.gc_deletes"
JOBS = ("a", "b", "c")


@pytest.fixture(scope="module")
def url() -> Iterator[Cluster]:
    cluster = Cluster([])
    yield cluster
    cluster.close()


class World:
    """An index with a setting, and jobs that need it to be `on`."""

    def __init__(self, cluster: Cluster, link: Link, before: str) -> None:
        cluster.stored.clear()
        cluster.settings.clear()
        self.cluster, self.link = cluster, link
        self.running: set[str] = set()
        self.asked: list[set[str]] = []
        self.value = before

    @property
    def value(self) -> str:
        return self.cluster.settings.get("i", {}).get(SETTING, "")

    @value.setter
    def value(self, value: str) -> None:
        self.cluster.settings["i"] = {SETTING: value} if value else {}

    def hold(self, job: str) -> Hold:
        return Hold(self.link, job, "i", SETTING, "on", store="jobs", at_work=self.at_work)

    def at_work(self, jobs: Collection[str]) -> set[str]:
        self.asked.append({*jobs})
        return self.running & {*jobs}

    def step(self, job: str, what: str) -> None:
        if job not in self.running:
            # A job that begins, or one that was killed and goes on.
            self.running.add(job)
            self.hold(job).acquire()
            self.value = "on"
        elif what == "kill":
            self.running.discard(job)
        else:
            self.hold(job).release()
            self.running.discard(job)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(JOBS), st.sampled_from(("kill", "end", "end")))), st.sampled_from(("", "5s")))
def test_the_last_job_sets_back_what_was_before_the_first(url: Cluster, steps: list[tuple[str, str]], before: str):
    with closing(Link(Connection(url=url.url), 0.05)) as link:
        world = World(url, link, before)
        for job, what in steps:
            world.step(job, what)
            if world.running:
                assert world.value == "on"
                assert all(world.hold(each).in_force() for each in world.running)
        # Whatever was killed, the next job that ends in order sets the value back.
        for job in sorted(world.running) or ["a"]:
            if job not in world.running:
                world.step(job, "begin")
            world.step(job, "end")
        assert world.value == before


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(JOBS), st.sampled_from(("kill", "end", "settle"))), max_size=12))
def test_a_value_that_is_to_stay_stays(url: Cluster, steps: list[tuple[str, str]]):
    """As the block of writes of an index whose alias has gone over to another one."""
    with closing(Link(Connection(url=url.url), 0.05)) as link:
        world, settled = World(url, link, ""), False
        for job, what in steps:
            if job in world.running and what == "settle":
                world.hold(job).settle()
                world.running.discard(job)
                settled = True
            else:
                world.step(job, what)
            assert world.value == "on" or not (settled or world.running)


def test_what_somebody_else_sets_meanwhile_stays(url: Cluster):
    with closing(Link(Connection(url=url.url), 0.05)) as link:
        world = World(url, link, "5s")
        world.step("a", "begin")
        world.value = "7s"
        assert not world.hold("a").in_force()
        world.step("a", "end")
        assert world.value == "7s"
        world.step("a", "begin")
        world.step("a", "kill")
        world.value = ""
        world.step("b", "begin")
        world.step("b", "end")
        assert world.value == ""


def test_jobs_at_once_lose_nothing(url: Cluster, monkeypatch: pytest.MonkeyPatch):
    """Each begins and ends as it likes: the setting is there for each as long as it needs it."""
    monkeypatch.setattr(holds, "RETRY_SECONDS", 0.001)
    world = World(url, None, "5s")  # type: ignore[arg-type]
    world.running.update(JOBS)
    wrong: list[str] = []

    def job(name: str) -> None:
        with closing(Link(Connection(url=url.url), 5.0)) as link:
            hold = Hold(link, name, "i", SETTING, "on", store="jobs", at_work=world.at_work)
            for _ in range(10):
                before = hold.acquire()
                link.json("PUT", "/i/_settings", None, {SETTING: "on"})
                for _ in range(3):
                    if before != "5s" or world.value != "on" or not hold.in_force():
                        wrong.append(f"{name}: {before} {world.value}")
                    time.sleep(0.0005)
                hold.release()

    threads = [threading.Thread(target=job, args=(name,)) for name in JOBS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert world.value == "5s"


def test_a_job_that_died_while_it_set_a_value_back_holds_nobody_up(url: Cluster, monkeypatch: pytest.MonkeyPatch):
    with closing(Link(Connection(url=url.url), 0.05)) as link:
        for done in (False, True):
            world = World(url, link, "5s")
            world.step("a", "begin")
            died = world.hold("a")

            def killed() -> str:
                raise OSError("killed")

            monkeypatch.setattr(died, "current", killed)
            with pytest.raises(OSError, match="killed"):
                died.release()
            world.running.discard("a")
            world.value = "5s" if done else "on"
            world.step("b", "begin")
            world.step("b", "end")
            assert world.value == "5s"


def test_several_settings_are_set_back_after_one_question(url: Cluster):
    """Each question may take the time of a lease, in which a source takes no writes."""
    with closing(Link(Connection(url=url.url), 0.05)) as link:
        world = World(url, link, "")
        names = ("i", "k")
        mine = [Hold(link, "a", name, SETTING, "on", store="jobs", at_work=world.at_work) for name in names]
        for other, name in (("b", "i"), ("c", "i"), ("c", "k")):
            Hold(link, other, name, SETTING, "on", store="jobs", at_work=world.at_work).acquire()
        for hold in mine:
            hold.acquire()
            url.settings[hold.index] = {SETTING: "on"}
        holds.release(mine, world.at_work)
        assert world.asked == [{"b", "c"}]
        assert all(hold.current() == "" for hold in mine)


def test_a_job_that_joins_while_others_are_asked_about_keeps_the_setting(url: Cluster):
    with closing(Link(Connection(url=url.url), 0.05)) as link:
        world = World(url, link, "")
        world.step("a", "begin")
        world.step("b", "begin")
        world.step("b", "kill")

        def asks(jobs: Collection[str]) -> set[str]:
            found = world.at_work(jobs)
            if len(world.asked) == 1:
                # The job that was killed goes on, and another one begins.
                world.step("b", "begin")
                world.step("c", "begin")
            return found

        holds.release([world.hold("a")], asks)
        assert world.value == "on"
        assert world.hold("b").in_force()
        assert world.hold("c").in_force()
