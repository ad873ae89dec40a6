"""Redrives of dead letters, in front of a real node."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from headrace.handlers.described import dead_letter_answers as answers
from tests.conftest import Http, native
from tests.node.write.test_dead_letters import NUMBER, attach, index, records, stream

__all__ = ["stream"]

FORGIVING = native("number", "convert", field="n", type="long", ignore_missing=True, on_failure=[])


async def finished(through: Http, stream: str, **body: Any) -> dict[str, Any]:
    """Starts a redrive and waits for its end."""
    started = await through.post(f"/_dead_letters/_redrive?stream={stream}", body)
    assert started.status == 202, started.body
    task = started.json["task"]
    for _ in range(200):
        state = (await through.get(f"/_dead_letters/_redrive/{task}?stream={stream}")).json
        if state["state"] != "running":
            return msgspec.to_builtins(msgspec.convert(state, answers.Redrive))
        await asyncio.sleep(0.05)
    raise AssertionError(state)


async def test_documents_are_put_right_and_sent_again(through: Http, direct: Http, name: str, stream: str):
    await index(direct, name)
    await through.pipeline(name, "document", NUMBER, dead_letters={"stream": stream, "answer": "accepted"})
    await attach(through, name, document=name)
    lines: list[Any] = []
    for i in range(6):
        about = {"_index": name} if i % 2 else {"_index": name, "_id": str(i)}
        lines += [{"index": about}, {"n": "1" if i == 5 else "many"}]
    await through.bulk(*lines, {"index": {"_index": name}}, {"when": "never"})
    await direct.post(f"/{stream}/_refresh")
    listed = (await through.get(f"/_dead_letters?stream={stream}&index={name}&since=1h")).json
    assert listed["total"] == 6
    msgspec.convert(listed, answers.Groups)
    assert [group["count"] for group in listed["groups"]] == [5, 1]
    group = listed["groups"][0]
    assert (group["target"], group["pipeline"], group["stage"]) == (name, name, "number")
    assert group["error"]["type"] == "illegal_argument_exception"
    shown = (await through.get(f"/_dead_letters/{group['group']}?stream={stream}&size=2")).json["records"]
    assert len(shown) == 2
    one = (await through.get(f"/_dead_letters/{shown[0]['_id']}?stream={stream}")).json["records"]
    assert one == shown[:1]
    assert (await through.get(f"/_dead_letters?stream={stream}&pipeline=other")).json["total"] == 0

    # Nothing has been put right: each is an attempt more.
    state = await finished(through, stream, group=group["group"])
    assert (state["total"], state["failed"], state["indexed"]) == (5, 5, 0)
    assert sorted(record["attempt"] for record in await records(direct, stream)) == [1, 2, 2, 2, 2, 2]

    await through.pipeline(name, "document", native("number", "remove", field="n", ignore_missing=True))
    dry = (
        await through.post(f"/_dead_letters/_redrive?stream={stream}", {"query": {"match_all": {}}, "dry_run": True})
    ).json
    msgspec.convert(dry, answers.DryRun)
    assert (dry["examined"], dry["indexed"], dry["failed"]) == (6, 6, 0)
    state = await finished(through, stream, query={"match_all": {}})
    assert (state["total"], state["indexed"], state["failed"], state["state"]) == (6, 5, 1, "done")
    (left,) = await records(direct, stream)
    assert left["error"]["field"] == "when"
    await direct.post(f"/{name}/_refresh")
    assert (await direct.get(f"/{name}/_count")).json["count"] == 6
    dropped = (await through.delete(f"/_dead_letters?stream={stream}&group={left['group']}")).json
    msgspec.convert(dropped, answers.Dropped)
    assert dropped["deleted"] == 1
    assert await records(direct, stream) == []


async def test_a_document_that_is_there_is_a_conflict_unless_it_is_the_same(
    through: Http, direct: Http, name: str, stream: str
):
    await index(direct, name)
    await attach(through, name, dead_letters={"stream": stream})
    await through.bulk(
        {"index": {"_index": name, "_id": "1"}}, {"n": "x"}, {"index": {"_index": name, "_id": "2"}}, {"n": "y"}
    )
    await through.pipeline(name, "document", native("n", "set", field="n", value=7))
    await direct.put(f"/{name}/_doc/1?refresh=true", {"n": 1})
    # As if a redrive had been killed between the document and its record.
    await direct.put(f"/{name}/_doc/2?refresh=true", {"n": 7})
    everything = {"query": {"match_all": {}}, "pipeline": f"{name}@1"}
    state = await finished(through, stream, **everything)
    assert (state["indexed"], state["conflict"]) == (1, 1)
    assert (await direct.get(f"/{name}/_doc/1")).json["_source"] == {"n": 1}
    assert [record["conflict"] for record in await records(direct, stream)] == [True]
    state = await finished(through, stream, **everything, overwrite=True)
    assert state["indexed"] == 1
    assert (await direct.get(f"/{name}/_doc/1")).json["_source"] == {"n": 7}
    assert await records(direct, stream) == []


async def test_what_the_request_named_counts_again(through: Http, direct: Http, name: str, stream: str):
    await index(direct, name)
    await through.pipeline(name, "document", NUMBER, dead_letters={"stream": stream})
    await through.bulk({"index": {"_index": name}}, {"n": "x"}, target=f"/_bulk?pipeline={name}")
    await through.pipeline(name, "document", native("n", "set", field="n", value=8))
    state = await finished(through, stream, query={"match_all": {}}, max_docs=5)
    assert state["indexed"] == 1
    await direct.post(f"/{name}/_refresh")
    (hit,) = (await direct.get(f"/{name}/_search")).json["hits"]["hits"]
    assert hit["_source"] == {"n": 8}


async def test_two_redrives_at_once_write_each_document_once(through: Http, direct: Http, name: str, stream: str):
    await index(direct, name)
    await attach(through, name, dead_letters={"stream": stream})
    lines: list[Any] = []
    for i in range(60):
        lines += [{"index": {"_index": name} | ({"_id": str(i)} if i % 2 else {})}, {"n": "x" if i % 3 else "y"}]
    await through.bulk(*lines)
    await through.pipeline(name, "document", native("n", "set", field="n", value=7) | {"if": "doc.n == 'x'"})
    asked = {"query": {"match_all": {}}, "pipeline": name, "rate": 20}
    states = await asyncio.gather(*(finished(through, stream, **asked) for _ in range(2)))
    assert [state["state"] for state in states] == ["done", "done"]
    assert [state["conflict"] for state in states] == [0, 0]
    await direct.post(f"/{name}/_refresh")
    assert (await direct.get(f"/{name}/_count")).json["count"] == 40
    left = await records(direct, stream)
    assert len(left) == 20
    assert {record["attempt"] for record in left} <= {2, 3}


async def test_bad_requests(through: Http, name: str):
    for body, field in (
        ({}, None), ({"group": "a", "ids": []}, None), ({"group": "a", "rate": 0}, "rate"),
        ({"group": "a", "max_docs": 0}, "max_docs"), ({"gruop": "a"}, "gruop"),
    ):  # fmt: skip
        refused = await through.post("/_dead_letters/_redrive", body)
        assert refused.status == 400
        assert refused.json["error"].get("field") == field
    assert (await through.post("/_dead_letters/_redrive", {"group": "a", "pipeline": f"{name}@3"})).status == 404
    assert (await through.post("/_dead_letters/_redrive", {"task": name})).status == 404
    assert (await through.delete("/_dead_letters")).status == 400
    assert (await through.get("/_dead_letters?stream=.headrace-registry")).status in (400, 403)
    assert (await through.get(f"/_dead_letters/{name}")).status == 404
    assert (await through.get(f"/_dead_letters?stream={name}")).json == {"total": 0, "groups": []}


async def test_an_id_of_a_task_is_no_path(through: Http, direct: Http, name: str, stream: str):
    await direct.put(f"/{name}")
    ends = "x%20HTTP%2F1.1%0D%0AHost:%20a%0D%0A%0D%0ADELETE%20%2F" + name + "%20HTTP%2F1.1%0D%0AX:%20"
    for task in (ends, "..%2F..%2F_search", "%3Fq", "A" * 16, "0" * 15):
        answer = await through.get(f"/_dead_letters/_redrive/{task}?stream={stream}")
        assert answer.status == 404, task
    answer = await through.post(f"/_dead_letters/_redrive?stream={stream}", {"task": "../x HTTP/1.1\r\n\r\n"})
    assert answer.status == 404
    assert (await direct.get(f"/{name}")).status == 200


async def test_a_redrive_that_goes_on_takes_no_other_member(through: Http, stream: str):
    for more in ({"dry_run": True}, {"overwrite": True}, {"max_docs": 1}, {"group": "g"}):
        answer = await through.post(f"/_dead_letters/_redrive?stream={stream}", {"task": "0" * 16, **more})
        assert (answer.status, answer.error["field"]) == (400, "task")


async def test_a_record_that_no_bulk_takes_stops_no_other(through: Http, direct: Http, name: str, stream: str):
    await index(direct, name)
    await through.pipeline(name, "document", NUMBER, dead_letters={"stream": stream})
    await attach(through, name, document=name)
    lines: list[Any] = []
    for n in range(5):
        # The cluster refuses a whole bulk for an id of more than 512 bytes.
        lines += [{"index": {"_index": name, "_id": "i" * 600 if n == 2 else str(n)}}, {"n": "many"}]
    await through.bulk(*lines)
    assert len(await records(direct, stream)) == 5
    await through.pipeline(name, "document", native("number", "remove", field="n", ignore_missing=True))
    state = await finished(through, stream, query={"match_all": {}})
    assert (state["state"], state["indexed"], state["failed"]) == ("done", 4, 1)
    (left,) = await records(direct, stream)
    assert left["id"] == "i" * 600


async def test_an_update_is_sent_again_only_over_what_is_there(through: Http, direct: Http, name: str, stream: str):
    await index(direct, name)
    await through.pipeline(name, "document", NUMBER, dead_letters={"stream": stream})
    await attach(through, name, document=name)
    await through.bulk({"update": {"_index": name, "_id": "1"}}, {"doc": {"n": "many"}, "doc_as_upsert": True})
    await direct.put(f"/{name}/_doc/1?refresh=true", {"n": 7})
    await through.pipeline(name, "document", native("number", "set", field="n", value=1))
    state = await finished(through, stream, query={"match_all": {}})
    assert (state["conflict"], state["indexed"]) == (1, 0)
    assert (await direct.get(f"/{name}/_doc/1")).json["_source"] == {"n": 7}
    state = await finished(through, stream, query={"match_all": {}}, overwrite=True)
    assert state["indexed"] == 1


async def test_the_routing_of_the_request_is_that_of_its_documents(through: Http, direct: Http, name: str, stream: str):
    await index(direct, name)
    await through.pipeline(name, "document", NUMBER, dead_letters={"stream": stream})
    await attach(through, name, document=name)
    await through.bulk({"index": {"_index": name, "_id": "1"}}, {"n": "many"}, target="/_bulk?routing=r")
    (record,) = await records(direct, stream)
    assert record["routing"] == "r"
