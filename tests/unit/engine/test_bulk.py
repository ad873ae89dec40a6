"""The bulk codec: framing, what is copied untouched, what is answered. Texts are OpenSearch's (see tests/node)."""

from __future__ import annotations

import json

import pytest

from headrace_pipelines.engine import Bulk, BulkError, Deadline, filter_path
from tests.conftest import ndjson


def test_targets_are_told_apart_by_index_and_pipeline():
    bulk = Bulk(
        ndjson(
            {"index": {"_index": "a"}}, {"n": 1},
            {"create": {"_index": "a", "_id": "1"}}, {"n": 2},
            {"index": {"_index": "b", "pipeline": "p"}}, {"n": 3},
            {"delete": {"_index": "a", "_id": "1"}},
            {"index": {}}, {"n": 4},
        ),
        index="url",
    )  # fmt: skip
    assert len(bulk) == 5
    assert bulk.targets() == [("a", None, True), ("b", "p", True), ("a", None, False), ("url", None, True)]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"index":{}}\n{"a":1}', "The bulk request must be terminated by a newline [\\n]"),
        (
            b'{"foo":{}}\n{}\n',
            "Malformed action/metadata line [1], expected one of [create, delete, index, update] but found [foo]",
        ),
        (
            b'{"index":{}}\n{}\n[1]\n{}\n',
            "Malformed action/metadata line [3], expected START_OBJECT but found [START_ARRAY]",
        ),
        (
            b'{"index":[1]}\n{}\n',
            "Malformed action/metadata line [1], expected START_OBJECT or END_OBJECT but found [START_ARRAY]",
        ),
        (b"{}\n{}\n", "Malformed action/metadata line [1], expected FIELD_NAME but found [END_OBJECT]"),
        (b'{"index":{"_foo":1}}\n{}\n', "Action/metadata line [1] contains an unknown parameter [_foo]"),
        (
            b'{"index":{"_id":{}}}\n{}\n',
            "Malformed action/metadata line [1], expected a simple value for field [_id] but found [START_OBJECT]",
        ),
    ],
)
def test_what_opensearch_refuses_as_a_whole(body, reason):
    with pytest.raises(BulkError) as caught:
        Bulk(body, index="i")
    assert str(caught.value) == reason


def test_nothing_changed_means_nothing_is_copied():
    bulk = Bulk(ndjson({"index": {}}, {"a": 1}), index="i")
    bulk.absorb(bulk.batch([0]))
    assert bulk.render() is None
    assert bulk.counts() == (1, 0, 0)


def test_untouched_lines_keep_their_bytes():
    body = b'{ "index" : {"_index":"a"} }\r\n{ "n": 1e400, "s":"\\ud800" }\r\n\n{"index":{"_index":"b"}}\n{"x":1}\n'
    bulk = Bulk(body)
    bulk.fail(1, 400, "some_exception", "no")
    assert bulk.render() == b'{ "index" : {"_index":"a"} }\n{ "n": 1e400, "s":"\\ud800" }\n'


def test_our_pipeline_is_taken_out_of_the_action_line():
    bulk = Bulk(ndjson({"index": {"_index": "a", "pipeline": "ours", "routing": "r"}}, {"n": 1}))
    bulk.strip_pipeline(0)
    assert bulk.render() == b'{"index": {"_index": "a", "routing": "r"}}\n{"n": 1}\n'


def test_updates_give_their_upsert_or_their_doc_as_upsert():
    bulk = Bulk(
        ndjson(
            {"update": {"_id": "1"}}, {"doc": {"a": 1}},
            {"update": {"_id": "2"}}, {"doc": {"a": 2}, "doc_as_upsert": True},
            {"update": {"_id": "3"}}, {"script": {"source": "x"}, "upsert": {"a": 3}},
        ),
        index="i",
    )  # fmt: skip
    batch = bulk.batch([0])
    assert [batch.document(i) for i in range(len(batch))] == [b'{"a": 2}', b'{"a": 3}']


def test_the_answer_has_one_item_for_each_action_in_order():
    bulk = Bulk(
        ndjson(
            {"index": {"_index": "a", "_id": "1"}}, {"n": 1},
            {"create": {"_index": "drop", "_id": "2"}}, {"n": 2},
            {"index": {"_index": "bad"}}, {"n": 3},
            {"delete": {"_index": "a", "_id": "4"}},
        )
    )  # fmt: skip
    bulk.fail(2, 429, "udf_timeout_exception", "too slow")
    batch = bulk.batch([1])
    batch.run_native(drop(), Deadline(), abort=True, pipeline="p", stage="s")
    bulk.absorb(batch)
    theirs = {
        "took": 3,
        "ingest_took": 1,
        "errors": False,
        "items": [{"index": {"_id": "1"}}, {"delete": {"_id": "4"}}],
    }
    answer = json.loads(bulk.merge(json.dumps(theirs).encode(), 12))
    assert answer["took"] == 12
    assert answer["ingest_took"] == 1
    assert answer["errors"] is True
    assert answer["items"] == [
        {"index": {"_id": "1"}},
        {
            "create": {
                "_index": "drop",
                "_id": "2",
                "_version": -4,
                "result": "noop",
                "_shards": {"total": 0, "successful": 0, "failed": 0},
                "status": 200,
            }
        },
        {
            "index": {
                "_index": "bad",
                "_id": None,
                "status": 429,
                "error": {"type": "udf_timeout_exception", "reason": "too slow"},
            }
        },
        {"delete": {"_id": "4"}},
    ]


def drop():
    from headrace_pipelines._wasm import Native

    return Native("drop", "document", b"{}")


def test_a_body_may_have_as_many_targets_as_actions():
    count = 3000
    lines = [each for n in range(count) for each in ({"index": {"_index": f"i{n}"}}, {"n": n})]
    bulk = Bulk(ndjson(*lines, {"index": {"_index": "i1"}}, {"n": -1}))
    assert [index for index, _, _ in bulk.targets()] == [f"i{n}" for n in range(count)]
    for key in range(0, count, 3):
        bulk.fail(key, 400, "bad", f"no {key}")
    assert bulk.outcome(999)[1][2] == "no 999"
    assert bulk.counts() == (count - count // 3 + 1, 0, count // 3)
    batch = bulk.batch([0, 1, 2, 4])
    assert [batch.document(i) for i in range(len(batch))] == [b'{"n": 1}', b'{"n": 2}', b'{"n": 4}', b'{"n": -1}']
    bulk.absorb(batch)
    assert bulk.indexes() == [f"i{n}" for n in range(count) if n % 3]
    batch = bulk.batch_at(["i4", "i1", "i0"])
    assert [batch.document(i) for i in range(len(batch))] == [b'{"n": 1}', b'{"n": 4}', b'{"n": -1}']
    bulk.fail(1, 400, "bad", "both")
    assert bulk.outcome(1)[1][2] == bulk.outcome(count)[1][2] == "both"


def test_another_number_of_items_than_actions_is_noticed():
    bulk = Bulk(
        ndjson({"index": {}}, {"a": 1}, {"index": {}}, {"a": 2}, {"index": {"_index": "bad"}}, {"a": 3}), index="i"
    )
    bulk.fail(1, 400, "bad", "bad")
    with pytest.raises(BulkError, match="answered 1 items for 2 actions"):
        bulk.merge(b'{"took":3,"errors":false,"items":[{}]}', 1)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (
            b'{"took":3, "errors" : true,"more":{},"items":[ {"index":{"error":{}}},{"index":{}} ]} ',
            b'{"took":1234, "errors" : true,"more":{},"items":[ {"index":{"error":{}}},{"index":{}} ]} ',
        ),
        (
            b'{"errors":false,"took":3,"ingest_took":5,"items":[ {"index":{}}, {}]}',
            b'{"took":1234,"ingest_took":5,"errors":false,"items":[{"index":{}},{}]}',
        ),
        (b'{ "took":3,"errors":false,"items":[{},{}]}', b'{"took":1234,"errors":false,"items":[{},{}]}'),
        (b'{"took":"3","errors":false,"items":[{},{}]}', b'{"took":1234,"errors":false,"items":[{},{}]}'),
    ],
)
def test_an_answer_with_an_item_for_every_action_stays_as_it_is_but_for_took(theirs, ours):
    bulk = Bulk(ndjson({"index": {}}, {"a": 1}, {"index": {}}, {"a": 2}), index="i")
    assert bulk.merge(theirs, 1234) == ours


def test_a_pretty_answer_of_a_udf_stays_on_one_line():
    from headrace_pipelines.engine import Deadline
    from tests.conftest import compile_wat
    from tests.support import wat

    bulk = Bulk(ndjson({"index": {}}, {"a": 1}), index="i")
    batch = bulk.batch([0])
    udf = compile_wat(wat.answering('{\n  "b": 1\r\n}')).bind(b"{}", timeout_ms=100, memory=1 << 20)
    batch.run_udf(udf, Deadline(5), abort=True, pipeline="p", stage="s")
    bulk.absorb(batch)
    rendered = bulk.render()
    assert rendered is not None
    assert rendered.count(b"\n") == 2


def test_filter_path():
    answer = b'{"took":1,"errors":true,"items":[{"index":{"status":201,"_id":"1"}}]}'
    assert filter_path(answer, ["errors", "items.*.status"]) == b'{"errors":true,"items":[{"index":{"status":201}}]}'
    assert filter_path(answer, ["-items", "-took"]) == b'{"errors":true}'


def settled(*lines: str, index: str = "i") -> Bulk:
    bulk = Bulk("".join(line + "\n" for line in lines).encode(), index=index)
    bulk.settle([index])
    return bulk


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ('{"a":1}', None),
        (' { "a" : 0.10 } ', None),
        ('\ufeff{"a":1}', b'{"a":1}'),
        ('/**/{"a":/* x */ 1}//', b'{"a":1}'),
        (r'{"\u0061":"tru\u0065"}', b'{"a":"true"}'),
    ],
)
def test_a_document_under_a_final_pipeline_is_written_anew_where_it_is_odd(text: str, made: bytes | None):
    bulk = settled('{"index":{}}', text)
    assert bulk.document(0) == made
    assert bulk.render() == (None if made is None else b'{"index":{}}\n' + made + b"\n")
    batch = bulk.batch_at(["i"])
    assert batch.document(0) == (made or text.encode())
    bulk.absorb(batch, pinned="p")
    assert bulk.render() == (None if made is None else b'{"index":{}}\n' + made + b"\n")


@pytest.mark.parametrize("text", ['{"a":1,"a":2}', '{"a":"\\ud800"}', '{"a":1} {}', "[]", "", "{a:1}"])
def test_a_document_with_no_one_meaning_fails_under_a_final_pipeline_alone(text: str):
    bulk = settled('{"index":{}}', text, '{"index":{"_index":"j"}}', text)
    assert [bulk.outcome(i)[0] for i in range(2)] == ["failed", "here"]
    assert len(bulk.batch_at(["i"])) == 0


def test_the_texts_of_an_update_are_documents_of_their_own():
    bulk = settled('{"update":{"_id":"1"}}', '{"upsert":{"a":1}, "doc":{"b":2},"doc_as_upsert":"tru\\u0065"}')
    batch = bulk.batch_at(["i"])
    assert [batch.document(i) for i in range(len(batch))] == [b'{"b":2}', b'{"a":1}']
    bulk.absorb(batch, pinned="p")
    assert bytes(bulk.render() or b"") == (
        b'{"update":{"_id":"1"}}\n{"upsert":{"a":1},"doc":{"b":2},"doc_as_upsert":"true"}\n'
    )
    # Beside it what goes elsewhere stays as it came.
    other = settled('{"update":{"_index":"j","_id":"1"}}', '{"script":"x"}')
    assert (len(other.batch_at(["i"])), other.render()) == (0, None)


def test_updates_that_show_are_refused_at_some_indexes_only():
    lines = ['{"update":{"_id":"1","_source":true}}', '{"doc":{}}', '{"update":{"_id":"1"}}', '{"doc":{}}']
    bulk = Bulk(
        "\n".join([*lines, *[line.replace('"_id"', '"_index":"j","_id"') for line in lines], ""]).encode(), index="i"
    )
    assert bulk.indexes_of_updates() == {"i", "j"}
    bulk.refuse_shown(["i"], False)
    assert [bulk.outcome(i)[0] for i in range(4)] == ["failed", "here", "here", "here"]
    bulk.refuse_shown(["i"], True)
    assert [bulk.outcome(i)[0] for i in range(4)] == ["failed", "failed", "here", "here"]


@pytest.mark.parametrize(
    "line",
    [
        '{"index":{"_index":"a","_index":"b"}}',
        '{"index":{"_index":"a","_ind\\u0065x":"b"}}',
        '{"index":{"_id":"1"},"delete":{}}',
        '{"index":{}} {"delete":{}}',
        '{"index":{"_index":"\\ud800"}}',
    ],
)
def test_an_action_line_says_one_thing(line: str):
    with pytest.raises(BulkError, match="Malformed action/metadata line"):
        Bulk(line.encode() + b'\n{"a":1}\n')
