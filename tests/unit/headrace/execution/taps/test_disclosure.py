"""Nothing of a hidden value leaves by a record or by `match`, in whatever form a pipeline or a caller puts it.

`max_examples` is small here: raise it after a change.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.execution.protection import HiddenFields
from headrace.execution.taps.records import matched_text, record_of
from headrace.execution.taps.rerun import Rerunner
from headrace.execution.taps.samples import Facts, Sample
from headrace.execution.taps.selection import Selection
from headrace.ops.observers import RunOrigin
from headrace_pipelines import Batch, Deadline, Pipelines, RunOptions, execute
from headrace_pipelines.udf.catalog import Catalog
from headrace_pipelines.udf.secrets import Secrets
from tests.conftest import native

MARK = "JqZxVkWyQj"
NUMBER = 7391739173
HIDDEN = ["ssn", "who.name", "pin_*"]
FORMS = [
    *(MARK, MARK.lower(), MARK.upper(), MARK.title(), MARK[::-1], MARK[2:5], MARK[:3] + "-" + MARK[3:6], f"<{MARK}>"),
    *(NUMBER, str(NUMBER), -NUMBER, NUMBER * 10, str(NUMBER)[::-1], "\\u004aqZxV", True, "J", ["…"] * 7),
]
TRACES = {
    each
    for word in (MARK.lower(), str(NUMBER))
    for text in (word, word[::-1])
    for size in [3 if text.isalpha() else 5]
    for each in (text[at : at + size] for at in range(len(text) - size + 1))
}
"""What of a marker must not be seen, in lower case: parts of 3 letters, or of 5 digits, which no time has."""


def traces(shown: bytes) -> set[str]:
    text = json.dumps(json.loads(shown), ensure_ascii=False).lower()
    return {each for each in TRACES if each in text}


plain = st.one_of(st.text("abcdé", max_size=6), st.integers(-9, 99), st.booleans(), st.none())
values = st.recursive(
    plain, lambda each: st.lists(each, max_size=3) | st.dictionaries(st.sampled_from("abcd"), each, max_size=3)
)
hidden_values = st.sampled_from([MARK, NUMBER, [MARK, NUMBER], {"deep": MARK}, {MARK: 1}])
documents = st.builds(
    lambda rest, ssn, name, pin: {**rest, "ssn": ssn, "who": {"name": name, "age": 4}, "pin_1": pin},
    st.dictionaries(st.sampled_from("abcd"), values, max_size=4),
    *[hidden_values] * 3,
)
forms = st.sampled_from(FORMS) | plain
names = st.sampled_from(["a", "b", "new", "size", "ssn", MARK, MARK.lower(), MARK[::-1], str(NUMBER)])
made = st.recursive(forms, lambda each: st.lists(each, max_size=3) | st.dictionaries(names, each, max_size=4))
objects = st.dictionaries(names, made, max_size=5)

fields = st.sampled_from(["a", "b", "who.name", "ssn", "pin_1", "new", "who.made"])
stages = st.lists(
    st.one_of(
        st.builds(lambda f: native("lower", "lowercase", field=f, ignore_missing=True), fields),
        st.builds(lambda f: native("upper", "uppercase", field=f, ignore_missing=True), fields),
        st.builds(
            lambda f, t: native("rename", "rename", field=f, target_field=t, ignore_missing=True), fields, fields
        ),
        st.builds(lambda f: native("set", "set", field=f, value="{{ssn}} of {{who.name}}"), fields),
        st.builds(lambda f, v: native("constant", "set", field=f, value=v), fields, st.sampled_from(["a", 7, True])),
        st.builds(lambda f: native("remove", "remove", field=[f], ignore_missing=True), fields),
    ),
    min_size=1,
    max_size=5,
)


def sample_of(kind: str, text: bytes, pipeline: Any, snapshot: Any, options: RunOptions, came: bytes | None) -> Sample:
    def batch() -> Batch:
        return Batch.of(kind, text, index="i", id="1")

    fresh, done = batch(), batch()
    sample = Sample.of(fresh, 0, pipeline, snapshot, options, Facts(), came)
    execute(pipeline, done, Deadline(5), options)
    sample.read(done, list(range(len(done))))
    return sample


def loaded(kind: str, *stages: dict[str, Any], **others: Any) -> tuple[Any, Any]:
    found = Pipelines.load({"p": {"type": kind, "stages": list(stages) or [native("n", "set", field="n", value=1)]}})
    return found._snapshot.find("p"), found._snapshot


def record(sample: Sample, *hidden: str) -> bytes:
    found = record_of(sample, Selection(stages="full"), HiddenFields.of(hidden or HIDDEN), Rerunner(Catalog()))
    return msgspec.json.encode(found)


@settings(max_examples=20)
@given(documents, stages, st.booleans())
def test_pipelines_move_and_change_hidden_values(document: dict[str, Any], drawn: list[dict[str, Any]], final: bool):
    named = [{**each, "name": f"{each['name']}{at}", "on_failure": "continue"} for at, each in enumerate(drawn)]
    pipeline, snapshot = loaded("document", *named)
    text = json.dumps(document).encode()
    sample = sample_of("document", text, pipeline, snapshot, RunOptions(final=final), text)
    assert traces(record(sample)) == set()
    assert traces(matched_text(sample, HiddenFields.of(HIDDEN), Secrets())) == set()


@settings(max_examples=50)
@given(documents, objects, st.booleans(), st.sampled_from(["document", "query", "result"]))
def test_whatever_becomes_of_a_document_is_shown_by_what_came(
    document: dict[str, Any], after: dict[str, Any], derived: bool, kind: str
):
    """The text after a stage, and before a later pipeline, is anything at all: so is what a UDF writes."""
    pipeline, snapshot = loaded(kind)
    came = json.dumps(document if kind == "document" else {"query": {"match_all": {}}}).encode()
    text = json.dumps(
        {"hits": {"hits": [{"_source": document | {"ssn": MARK}, "_id": MARK, "sort": [MARK]}]}}
        if kind == "result"
        else after
        if derived
        else document
        if kind == "document"
        else {"query": {"more_like_this": {"like": [{"doc": document}]}}}
    ).encode()
    origin = None if kind == "document" else RunOrigin("i", ("i",), came if derived else text, derived)
    sample = sample_of(kind, text, pipeline, snapshot, RunOptions(final=derived, origin=origin), came)
    sample.outputs = [json.dumps(after).encode()] if kind != "result" else sample.outputs
    assert traces(record(sample)) == set()
    assert traces(matched_text(sample, HiddenFields.of(HIDDEN), Secrets())) == set()


leaves = st.sampled_from([MARK, NUMBER, [MARK], f"{MARK}*", f"ssn:{MARK}", str(NUMBER)])
clauses = st.recursive(
    st.builds(
        lambda kind, field, value: {kind: {field: value}},
        st.sampled_from(["term", "match", "wildcard"]),
        st.sampled_from(["ssn", "other", "who.name"]),
        leaves,
    )
    | st.builds(lambda field, value: {"range": {field: {"gte": value, "boost": 2}}}, fields, leaves)
    | st.builds(lambda value: {"multi_match": {"query": value, "fields": ["ssn^2"], "type": value}}, leaves)
    | st.builds(lambda value: {"query_string": {"query": value, "default_field": "ssn", "boost": value}}, leaves)
    | st.builds(lambda value: {"script": {"script": {"source": value, "params": {str(value): value}}}}, leaves),
    lambda each: st.builds(
        lambda found: {"bool": {"must": found, "minimum_should_match": MARK}}, st.lists(each, max_size=3)
    ),
    max_leaves=4,
)
searches = st.builds(
    lambda query, value, rest: {"query": query, "size": 3, **dict.fromkeys(rest, value)},
    clauses,
    leaves,
    st.sets(st.sampled_from(["search_after", "suggest", "sort", "_source", "ext", "timeout", "from", "size", "pit"])),
)


@settings(max_examples=30)
@given(searches)
def test_searches_show_their_structure_only(search: dict[str, Any]):
    pipeline, snapshot = loaded("query", native("only", "filter_query", query={"term": {"tenant": "a"}}))
    text = json.dumps(search).encode()
    origin = RunOrigin("i", ("i",), text, False)
    sample = sample_of("query", text, pipeline, snapshot, RunOptions(origin=origin), None)
    shown = record(sample)
    assert traces(shown) == set()
    assert traces(matched_text(sample, HiddenFields.of(HIDDEN), Secrets())) == set()
    assert "bool" in json.loads(shown)["after"]["query"]


def test_what_is_shown():
    pipeline, snapshot = loaded(
        "document",
        native("lower", "lowercase", field="a"),
        native("seen", "set", field="seen", value="yes"),
        native("copy", "set", field="b", value="{{ssn}}"),
    )
    text = b'{"a":"X","keep":1.50,"list":["x","y"],"ssn":"123-45"}'
    sample = sample_of("document", text, pipeline, snapshot, RunOptions(), None)
    shown = json.loads(record(sample, "ssn"), parse_float=str)
    assert shown["before"] == {"a": "X", "keep": "1.50", "list": ["x", "y"]}
    assert shown["after"] == {"a": "…", "keep": "1.50", "list": ["x", "y"], "seen": "yes", "b": "…"}
    assert shown["stages"][1]["patch"] == [{"op": "add", "path": "/seen", "value": "yes"}]
    assert shown["hidden"] == ["ssn"]


def test_a_clause_that_the_pipeline_adds_is_shown():
    pipeline, snapshot = loaded("query", native("only", "filter_query", query={"term": {"tenant": "a"}}))
    for query, clause in (
        ({"match_all": {}}, {"term": {"tenant": "a"}}),
        ({"term": {"tenant": "a"}}, {"term": {"tenant": "…"}}),
    ):
        text = json.dumps({"query": query}).encode()
        origin = RunOrigin("i", ("i",), text, False)
        sample = sample_of("query", text, pipeline, snapshot, RunOptions(origin=origin), None)
        assert json.loads(record(sample, "ssn"))["after"]["query"]["bool"]["filter"] == [clause]
        assert json.loads(record(sample, "tenant"))["after"]["query"]["bool"]["filter"] == [{"term": {}}]


def test_a_search_keeps_options():
    pipeline, snapshot = loaded("query", native("seven", "set", field="size", value=7))
    text = b'{"query":{"term":{"a":"x","ssn":"y"}},"size":3,"sort":[{"a":{"order":"asc"}}],"timeout":"2s"}'
    origin = RunOrigin("i", ("i",), text, False)
    sample = sample_of("query", text, pipeline, snapshot, RunOptions(origin=origin), None)
    shown = json.loads(record(sample, "ssn"))
    before = {"query": {"term": {"a": "…"}}, "size": 3, "sort": [{"a": {"order": "asc"}}], "timeout": "2s"}
    assert shown["before"] == before
    assert shown["after"] == before | {"size": 7}


@pytest.mark.parametrize("text", ['{"ssn":"111-11","ssn":"222-22","c":"111-11"}', '{"a":{"x":"111-11","x":1},"ssn":1}'])
def test_a_document_that_readers_may_misread_shows_nothing(text: str):
    pipeline, snapshot = loaded("document")
    sample = sample_of("document", text.encode(), pipeline, snapshot, RunOptions(), None)
    shown = json.loads(record(sample, "ssn"))
    assert (shown["before"], shown["after"], shown["rerun"]) == (None, None, "unreadable")


def test_where_nothing_is_protected_all_is_shown():
    pipeline, snapshot = loaded("document", native("copy", "set", field="b", value="{{ssn}}"))
    text = b'{"ssn":"123-45","a":1}'
    sample = sample_of("document", text, pipeline, snapshot, RunOptions(), None)
    found = record_of(sample, Selection(), HiddenFields(), Rerunner(Catalog()))
    assert found is not None
    assert json.loads(msgspec.json.encode(found))["after"] == {"ssn": "123-45", "a": 1, "b": "123-45"}


def test_the_cursor_of_the_cluster_is_never_shown():
    pipeline, snapshot = loaded("query", native("seven", "set", field="size", value=7))
    text = b'{"pit":{"id":"of-the-cluster","keep_alive":"1m"},"query":{"match_all":{}}}'
    origin = RunOrigin("i", ("i",), text, False)
    sample = sample_of("query", text, pipeline, snapshot, RunOptions(origin=origin), None)
    for hidden in (HiddenFields(), HiddenFields.of(["ssn"])):
        found = record_of(sample, Selection(stages="full"), hidden, Rerunner(Catalog()))
        assert b"of-the-cluster" not in msgspec.json.encode(found)
