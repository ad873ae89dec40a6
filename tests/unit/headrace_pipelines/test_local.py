"""The public API of headrace-pipelines: pipelines run in this process, without a proxy."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys

import pyarrow
import pytest

from headrace_pipelines import Bundle, PipelineFailedError, Pipelines, fixed_sources
from headrace_pipelines.errors import InvalidError, MissingError

TRIM = {"name": "trim", "type": "native", "config": {"function": "trim", "parameters": {"field": "title"}}}
DROP = {"name": "drop", "type": "native", "config": {"function": "drop"}, "if": 'doc.title == "drop"'}
STARS = """
def process(doc):
    doc["stars"] = 5
    return doc
"""


def document(*stages, **fields):
    return {"type": "document", "stages": list(stages), **fields}


def test_documents_come_back_in_order_whatever_form_they_have():
    pipelines = Pipelines.load({"tidy": document(TRIM)})
    outcome = pipelines.run("tidy", [{"title": " a "}, b'{"title":" b "}', '{\n"title": " c "}'])
    assert outcome.documents == [{"title": "a"}, {"title": "b"}, {"title": "c"}]
    assert outcome.ndjson.count(b"\n") == 3


def test_more_documents_than_a_batch_holds():
    pipelines = Pipelines.load({"tidy": document(TRIM)})
    outcome = pipelines.run("tidy", ({"title": f" {i} "} for i in range(2500)))
    assert [d["title"] for d in outcome.documents] == [str(i) for i in range(2500)]


def test_a_document_that_fails_is_named_by_its_position_and_the_others_go_on():
    pipelines = Pipelines.load({"tidy": document(TRIM)})
    documents = [{"title": f" {i} "} for i in range(1002)]
    documents[1001] = {"title": 7}
    outcome = pipelines.run("tidy", documents)
    assert len(outcome.texts) == 1001
    (failure,) = outcome.failures
    assert (failure.position, failure.status, failure.stage) == (1001, 400, "trim")


def test_the_position_of_a_failure_is_that_in_the_input_also_behind_documents_that_became_several():
    code = "def process(doc):\n    if doc['n'] == 2: raise ValueError('x')\n    return [doc] * 3 if doc['n'] == 0 else doc\n"
    stage = {"name": "u", "type": "python", "config": {"udf_name": "u"}}
    pipelines = Pipelines.load({"p": {"type": "document", "stages": [stage]}}, udfs={"u": code})
    outcome = pipelines.run("p", [{"n": 0}, {"n": 1}, {"n": 2}])
    assert [failure.position for failure in outcome.failures] == [2]
    assert [doc["n"] for doc in outcome.documents] == [0, 0, 0, 1]


def test_a_line_end_is_white_space_between_members_and_no_part_of_a_string():
    pipelines = Pipelines.load({"p": document(TRIM | {"if": "false"})})
    assert pipelines.run("p", [b'{"a":\n 1.50}']).texts == [b'{"a":1.50}']
    with pytest.raises(InvalidError, match="not a JSON object"):
        pipelines.run("p", [b'{"a": "x\ny"}'])


@pytest.mark.parametrize("time_ms", [-1, 9_300_000_000_000])
def test_a_time_that_a_clock_cannot_have_is_refused(time_ms: int):
    with pytest.raises(ValueError, match="between the years 1970 and 2261"), fixed_sources(time_ms):
        pass


def test_dropped_documents_are_counted():
    drop = {"name": "drop", "type": "native", "if": "doc.n > 1", "config": {"function": "drop", "parameters": {}}}
    outcome = Pipelines.load({"few": document(drop)}).run("few", [{"n": i} for i in range(4)])
    assert (outcome.documents, outcome.dropped) == ([{"n": 0}, {"n": 1}], 2)


def test_lines_of_ndjson():
    outcome = Pipelines.load({"tidy": document(TRIM)}).run_ndjson("tidy", b'{"title":" a "}\n\n{"title":"b"}')
    assert outcome.ndjson == b'{"title":"a"}\n{"title":"b"}\n'


def test_rows_of_an_arrow_table():
    table = pyarrow.table({"title": [" a ", None], "n": [1, 2]})
    done, outcome = Pipelines.load({"tidy": document({**TRIM, "if": "has(doc.title) && doc.title != null"})}).run_arrow(
        "tidy", table
    )
    assert done.to_pylist() == [{"title": "a", "n": 1}, {"title": None, "n": 2}]
    assert outcome.failures == []


@pytest.mark.parametrize("form", ["source", "file", "body"])
def test_a_udf_as_source_file_or_body(form, tmp_path):
    (tmp_path / "stars.py").write_text(STARS)
    udf = {"source": STARS, "file": tmp_path / "stars.py", "body": {"language": "python", "source": STARS}}[form]
    stage = {"name": "rate", "type": "python", "config": {"udf_name": "stars"}}
    pipelines = Pipelines.load({"rate": document(stage)}, {"stars": udf})
    assert pipelines.run("rate", [{"title": "Dune"}]).documents == [{"title": "Dune", "stars": 5}]


def test_queries_and_results():
    only = {"function": "filter_query", "parameters": {"query": {"term": {"tenant": "a"}}}}
    mask = {"function": "mask", "parameters": {"fields": ["mail"]}}
    pipelines = Pipelines.load(
        {
            "only": {"type": "query", "stages": [{"name": "only", "type": "native", "config": only}]},
            "mask": {"type": "result", "stages": [{"name": "mask", "type": "native", "config": mask}]},
        }
    )
    assert "tenant" in json.dumps(pipelines.run_query("only", {"query": {"match_all": {}}}))
    shown = pipelines.run_result("mask", {"hits": {"hits": [{"_id": "1", "_source": {"mail": "a@b.c"}}]}})
    assert shown["hits"]["hits"][0]["_source"]["mail"] != "a@b.c"


def test_a_query_pipeline_that_fails_raises_what_the_stage_says():
    stage = {"name": "x", "type": "python", "on_failure": "abort", "config": {"code": "raise ValueError('no')"}}
    pipelines = Pipelines.load({"x": {"type": "query", "stages": [stage]}})
    with pytest.raises(PipelineFailedError, match=r"stage \[x\].*no"):
        pipelines.run_query("x", {})


def test_errors_name_what_is_wrong():
    with pytest.raises(InvalidError, match="no built-in is called"):
        Pipelines.load({"x": document({"name": "y", "type": "native", "config": {"function": "nothing"}})})
    with pytest.raises(MissingError, match="missing"):
        Pipelines.load({}).run("x", [])
    with pytest.raises(InvalidError, match="not a JSON object"):
        Pipelines.load({"tidy": document(TRIM)}).run("tidy", [{"title": object()}])


def test_it_needs_neither_event_loop_nor_http_nor_cluster_client():
    code = (
        "import sys, headrace_pipelines\n"
        "print([m for m in ('aiohttp', 'asyncio', 'opensearchpy', 'headrace') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


BUNDLE = Bundle(
    pipelines=(
        ("p", json.dumps({"type": "document", "version": "1", "stages": [TRIM]}).encode()),
        (
            "p",
            json.dumps(
                {
                    "type": "document",
                    "version": "2",
                    "stages": [{"name": "u", "type": "python", "config": {"udf_name": "u", "udf_version": "2"}}],
                }
            ).encode(),
        ),
    ),
    udfs=tuple(
        (
            "u",
            json.dumps(
                {
                    "language": "python",
                    "version": v,
                    "source": f"def process(doc):\n    doc['v'] = {v}\n    return doc\n",
                }
            ).encode(),
        )
        for v in ("1", "2")
    ),
)


def test_a_bundle_has_versions_and_goes_to_other_processes():
    pipelines = Pipelines.shared(BUNDLE)
    assert pipelines.label("p") == "p@2"
    assert pipelines.run("p", [{"title": " a "}]).documents == [{"title": " a ", "v": 2}]
    assert pipelines.run("p@1", [{"title": " a "}]).documents == [{"title": "a"}]
    assert pickle.loads(pickle.dumps(pipelines)) is pipelines, "compiled once in a process"
    assert Bundle.decode(BUNDLE.encode()) == BUNDLE
    assert Bundle.decode(BUNDLE.encode()).digest == BUNDLE.digest
    with pytest.raises(TypeError, match=r"Pipelines\.of"):
        pickle.dumps(Pipelines.load({"p": document(TRIM)}))


@pytest.mark.parametrize(
    "other", [(BUNDLE.pipelines[:1], BUNDLE.udfs), (BUNDLE.pipelines, ()), (BUNDLE.udfs, BUNDLE.pipelines)]
)
def test_bundles_that_differ_have_other_digests(other):
    assert Bundle(*other).digest != BUNDLE.digest


def test_a_bulk_comes_back_as_it_would_be_forwarded():
    code = (
        "def process(doc):\n"
        "    if doc.get('n') == 0: return False\n"
        "    if doc.get('n') == 1: raise ValueError('x')\n"
        "    if doc.get('n') == 2: return [doc, {'n': 22}]\n"
        "    if doc.get('n') == 3: doc['m'] = 1\n"
        "    return doc\n"
    )
    stage = {"name": "u", "type": "python", "config": {"udf_name": "u"}}
    pipelines = Pipelines.load({"p": document(stage)}, udfs={"u": code})
    lines = [f'{{"index":{{"_id":"{n}","version":{n + 7},"version_type":"external"}}}}\n{{"n":{n}}}' for n in range(5)]
    lines[2] = '{"index":{}}\n{"n": 2}'
    lines.insert(4, '{"delete":{"_id":"d"}}')
    outcome = pipelines.run_bulk("p", ("\n".join(lines) + "\n").encode(), index="i")
    assert outcome.states == ["dropped", "failed", "moved", "changed", "same", "same"]
    assert outcome.forwarded == [0, 0, 2, 1, 1, 1]
    assert [(f.position, f.stage) for f in outcome.failures] == [(1, "u")]
    body = bytes(outcome.body).split(b"\n")
    assert b'"version":10' in body[4], "an action line stays as it is"
    assert body[-3:] == [lines[5].encode().split(b"\n")[0], lines[5].encode().split(b"\n")[1], b""]


def test_a_bulk_of_which_nothing_is_left_is_empty():
    pipelines = Pipelines.load({"p": document({"name": "d", "type": "native", "config": {"function": "drop"}})})
    assert bytes(pipelines.run_bulk("p", b'{"index":{"_index":"a"}}\n{}\n').body) == b""


def test_a_record_batch_has_a_row_for_each_document():
    pipelines = Pipelines.load({"p": document(TRIM, DROP)})
    batch = pyarrow.RecordBatch.from_pydict(
        {
            "_id": ["a", "b", None, "d"],
            "_source": ['{"title": " x "}', '{"title": "drop"}', '{\n"title": "same"}', '{"title": 1}'],
        }
    )
    found = pipelines.run_record_batch("p", batch, keep_before=True)
    assert found.schema.names == ["_id", "outcome", "reason", "_source", "before"]
    assert found.column("_id").to_pylist() == ["a", "b", None, "d"]
    assert found.column("outcome").to_pylist() == ["changed", "dropped", "same", "failed"]
    assert found.column("_source").to_pylist() == ['{"title": "x"}', None, '{"title":"same"}', None]
    assert found.column("before").to_pylist()[0] == '{"title": " x "}'
    assert found.column("reason").to_pylist()[3].startswith("illegal_argument_exception: ")
    empty = pipelines.run_record_batch("p", batch.slice(0, 0))
    assert empty.num_rows == 0
    assert empty.schema == found.schema.remove(4)


def test_a_record_batch_without_documents_says_which_column_is_missing():
    pipelines = Pipelines.load({"p": document(TRIM)})
    with pytest.raises(InvalidError, match="must be a column of JSON texts; the columns are title"):
        pipelines.run_record_batch("p", pyarrow.RecordBatch.from_pydict({"title": ["a"]}))
    with pytest.raises(InvalidError, match="row 1 is no JSON text"):
        pipelines.run_record_batch("p", pyarrow.RecordBatch.from_pydict({"_source": ["{}", None]}))
