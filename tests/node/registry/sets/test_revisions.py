"""Old revisions of sets go, with what nothing else names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conftest import Http
from tests.node.registry.sets.test_sets import applied, body, pipeline, setting
from tests.node.registry.sets.test_sets_atomic import generation, seen
from tests.node.registry.test_registry_tampering import whole

if TYPE_CHECKING:
    from headrace.settings import Settings


async def test_old_revisions_go(through: Http, direct: Http, settings: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("headrace.registry.sets.MOST_REVISIONS", 3)
    monkeypatch.setattr("headrace_pipelines.registry.sets.plan.MOST_REVISIONS", 3)
    await through.pipeline("keeps", "document", setting(0))
    for n in range(1, 7):
        await applied(through, generation(n))
        if n == 2:
            naming = {"name": "c", "type": "composite", "config": {"pipeline": "p0", "version": "2"}}
            await through.pipeline("keeps", "document", naming)
    listed = (await through.get("/_registry/_revisions?set=app")).json["revisions"]
    assert [each["revision"] for each in listed] == [6, 5, 4]
    held = await whole(direct, settings)
    live = {id_ for id_, source in held.items() if source["kind"] in ("pipeline", "udf", "revision")}
    assert sum(id_.startswith("revision:") for id_ in live) == 3
    numbers = {id_.partition("@")[2].partition("#")[0] for id_ in live if id_.startswith("pipeline:document:p0@")}
    assert numbers == {"2", "4", "5", "6"}, "2 is named by a pipeline that is no set's"
    digests = {id_.split(":")[1] for id_ in held if id_.startswith("code:")}
    assert len(digests) == 4, "2 is named by the version of p0 that stays"
    assert (await through.post("/_registry/_rollback?set=app&revision=3")).status == 404
    assert (await through.post("/_registry/_rollback?set=app&revision=4")).status == 200
    assert await seen(through) == 4
    assert (await through.post("/_pipeline/keeps/_execute", {"input": {}})).json["output"]["x"] == 2


async def test_what_another_set_pins_does_not_go_with_old_revisions(through: Http, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("headrace.registry.sets.MOST_REVISIONS", 2)
    monkeypatch.setattr("headrace_pipelines.registry.sets.plan.MOST_REVISIONS", 2)
    inner = {"name": "c", "type": "composite", "config": {"pipeline": "inner", "version": "1"}}
    await applied(through, body("low", pipeline("inner", setting(1))))
    await applied(through, body("high", pipeline("outer", inner)))
    for n in range(2, 7):
        await applied(through, body("low", pipeline("inner", setting(n))))
    versions = (await through.get("/_pipeline/inner/_versions")).json["versions"]
    assert [each["version"] for each in versions] == ["1", "5", "6"]
    assert (await through.post("/_pipeline/outer/_execute", {"input": {}})).json["output"] == {"x": 1}
