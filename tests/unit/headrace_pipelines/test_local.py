"""The public API of headrace-pipelines: pipelines run in this process, without a proxy."""

from __future__ import annotations

import json
import subprocess
import sys

import pyarrow
import pytest

from headrace_pipelines import PipelineFailedError, Pipelines, fixed_sources
from headrace_pipelines.errors import InvalidError, MissingError

TRIM = {"name": "trim", "type": "native", "config": {"function": "trim", "parameters": {"field": "title"}}}
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
