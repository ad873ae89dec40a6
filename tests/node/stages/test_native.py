"""Every document built-in does what OpenSearch's processor of that name does: the same documents through both."""

from __future__ import annotations

import json
import os
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from headrace_pipelines._wasm import Native
from headrace_pipelines.engine import Batch, Deadline
from tests.conftest import Http

DOCUMENTS: list[dict[str, Any]] = [
    {"a": "Some Text", "n": 5, "l": ["X", "y"], "o": {"k": "V", "d": {"e": 1}}, "z": None, "b": True, "f": 2.5},
    {"a": "", "n": "0x1F", "l": [1, "2"], "o": "text", "z": "null"},
    {"a": 7, "n": "12", "l": [], "o": {"k": None}, "f": "3.25", "b": "TRUE"},
    {"a": {"x": 1}, "n": "abc", "l": [{"k": "Q"}], "o": [{"k": "W"}], "b": "no", "f": "1e3"},
    {"n": 3000000000, "b": "false", "f": "-0.5", "a": "192.168.0.1"},
    {},
]

CASES: list[tuple[str, dict[str, Any]]] = [
    ("set", {"field": "new", "value": 1}),
    ("set", {"field": "a", "value": {"deep": [1, 2]}}),
    ("set", {"field": "o.k", "value": "x"}),
    ("set", {"field": "o.d.e", "value": "x"}),
    ("set", {"field": "a.b.c", "value": True}),
    ("set", {"field": "n", "value": 1, "override": False}),
    ("set", {"field": "z", "value": 1, "override": False}),
    ("set", {"field": "t", "value": "{{a}}-{{o.k}}"}),
    ("set", {"field": "t", "value": "{{{a}}}", "ignore_empty_value": True}),
    ("set", {"field": "o.k.x.y", "value": 1}),
    ("set", {"field": "z.x", "value": 1}),
    ("set", {"field": "{{o.k}}", "value": "named by the document"}),
    ("set", {"field": "l.0", "value": "first"}),
    ("set", {"field": "_source.a", "value": "prefixed"}),
    ("remove", {"field": "a"}),
    ("remove", {"field": ["a", "o.k"]}),
    ("remove", {"field": "o.d.e", "ignore_missing": True}),
    ("remove", {"field": "l.0"}),
    ("remove", {"field": "z"}),
    ("rename", {"field": "a", "target_field": "o.new"}),
    ("rename", {"field": "a", "target_field": "n"}),
    ("rename", {"field": "o.k", "target_field": "k"}),
    ("rename", {"field": "z", "target_field": "zz", "ignore_missing": True}),
    ("lowercase", {"field": "a"}),
    ("lowercase", {"field": "l"}),
    ("lowercase", {"field": "a", "target_field": "low"}),
    ("lowercase", {"field": "z", "ignore_missing": True}),
    ("lowercase", {"field": "z"}),
    ("convert", {"field": "n", "type": "integer"}),
    ("convert", {"field": "n", "type": "long"}),
    ("convert", {"field": "f", "type": "double"}),
    ("convert", {"field": "f", "type": "float", "target_field": "g"}),
    ("convert", {"field": "b", "type": "boolean"}),
    ("convert", {"field": "n", "type": "string"}),
    ("convert", {"field": "l", "type": "string"}),
    ("convert", {"field": "a", "type": "ip"}),
    ("convert", {"field": "n", "type": "auto"}),
    ("convert", {"field": "z", "type": "integer"}),
    ("convert", {"field": "z", "type": "integer", "ignore_missing": True}),
    ("drop", {}),
    ("fail", {"message": "no {{a}} here"}),
]


MORE = yaml.safe_load((Path(__file__).parent / "native_cases.yaml").read_text())
RICH: list[dict[str, Any]] = [
    {"a": "Some Text", "n": 5, "l": ["X", "y"], "o": {"k": "V", "d": {"e": 1}}, "z": None, "d.e": 1, "m": [3, 1, 2]},
    {"a": "", "n": "0x1F", "l": [1, "2"], "o": "text", "z": "null"},
    {"a": "a=1&b= 2 &c", "n": "12", "l": [], "o": {"k": None}},
    {},
]
JAVAS_OWN = ("org.opensearch.tools.jackson", "class java.", "Cannot read field", "None")
"""Reasons that are texts of Java's machinery: there only the failure itself must be the same."""


def ours(function: str, parameters: dict[str, Any], document: dict[str, Any]) -> Any:
    batch = Batch.of("document", json.dumps(document).encode(), index="i", id="1")
    native = Native(function, "document", json.dumps(parameters).encode())
    batch.run_native(native, Deadline(), abort=True, pipeline="", stage="")
    state, failure = batch.outcome(0)
    if failure is not None:
        return ("error", failure[1], failure[2])
    if state == "dropped":
        return ("dropped",)
    return ("document", json.loads(batch.document(0)), *batch.metadata(0)[:2])


def theirs(shown: dict[str, Any] | None) -> Any:
    if shown is None:
        return ("dropped",)
    if "error" in shown:
        return ("error", shown["error"]["type"], shown["error"]["reason"])
    return ("document", shown["doc"]["_source"], shown["doc"].get("_index"), shown["doc"].get("_id"))


async def simulated(direct: Http, function: str, parameters: dict[str, Any], documents: list[Any]) -> list[Any]:
    body = {
        "pipeline": {"processors": [{function: parameters}]},
        "docs": [{"_index": "i", "_id": "1", "_source": document} for document in documents],
    }
    answer = await direct.post("/_ingest/pipeline/_simulate", body)
    if answer.status in (400, 500) and len(documents) > 1:  # some processors throw so that the whole request fails
        return [found for document in documents for found in await simulated(direct, function, parameters, [document])]
    if answer.status in (400, 500):
        return [("error", answer.error["type"], answer.error["reason"])]
    assert answer.status == 200, answer.body
    return [theirs(shown) for shown in answer.json["docs"]]


@pytest.mark.parametrize("case", MORE, ids=lambda c: f"{c['processor']}-{json.dumps(c['options'])}")
async def test_more_as_the_cluster_does_it(direct: Http, case: dict[str, Any]):
    function, options, documents = case["processor"], case["options"], case.get("docs", RICH)
    expected = await simulated(direct, function, options, documents)
    for document, wanted in zip(documents, expected, strict=True):
        found = ours(function, options, document)
        if wanted[0] == "error" and str(wanted[2]).startswith(JAVAS_OWN):
            assert found[0] == "error", document
        else:
            assert found == wanted, document


@pytest.mark.parametrize(("function", "parameters"), CASES, ids=lambda v: v if isinstance(v, str) else json.dumps(v))
async def test_as_the_cluster_does_it(direct: Http, function: str, parameters: dict[str, Any]):
    expected = await simulated(direct, function, parameters, DOCUMENTS)
    assert [ours(function, parameters, document) for document in DOCUMENTS] == expected


@pytest.mark.parametrize(
    ("function", "parameters", "words"),
    [
        ("set", {"field": "a"}, "[value] required property is missing"),
        ("set", {"value": 1}, "missing field `field`"),
        ("set", {"field": "", "value": 1}, "[field] required property is missing"),
        ("set", {"field": "a", "value": 1, "copy_from": "b"}, "unknown field `copy_from`"),
        ("set", {"field": "_version", "value": 1}, "metadata field [_version]"),
        ("set", {"field": "_ctx.a", "value": "{{_ingest.b}}"}, "two names of the same"),
        ("split", {"field": "a", "separator": "["}, "[separator]"),
        ("gsub", {"field": "a", "pattern": "*", "replacement": ""}, "Dangling meta character"),
        ("grok", {"field": "a", "patterns": ["%{NOPE:x}"]}, "Unable to find pattern [NOPE]"),
        ("grok", {"field": "a", "patterns": []}, "List of patterns must not be empty"),
        ("dissect", {"field": "a", "pattern": "nothing"}, "Unable to find any keys or delimiters"),
        ("csv", {"field": "a", "target_fields": []}, "target fields list can't be empty"),
        ("csv", {"field": "a", "target_fields": ["x"], "quote": "ab"}, "single character"),
        ("date", {"field": "a", "formats": ["UNIX"], "output_format": "qqq{"}, "invalid output format [qqq{]"),
        ("date", {"field": "a", "formats": ["YYYY-MM-dd"]}, "Y is the year of the week"),
        ("sort", {"field": "a", "order": "up"}, "Sort direction [up] not recognized"),
        ("dot_expander", {"field": "a"}, "field does not contain a dot"),
        ("fingerprint", {"fields": ["a"], "exclude_fields": ["b"]}, "either fields or exclude_fields"),
        ("fingerprint", {"hash_method": "CRC"}, "hash method must be"),
        ("foreach", {"field": "a", "processor": {}}, "exactly one processor type"),
        ("foreach", {"field": "a", "processor": {"nothing": {}}}, "no built-in [nothing]"),
        ("append", {"field": "a"}, "[value] required property is missing"),
        ("json", {"field": "a", "add_to_root": True, "target_field": "b"}, "Cannot set a target field"),
        ("oversample", {"sample_factor": 0.5}, "Value must be >= 1.0"),
        ("synonym", {"synonyms": ["alone"]}, "at least two names"),
        ("mask", {"fields": ["a"], "mode": "hash"}, "[salt] is needed"),
        ("mask", {"fields": ["a", "info.*"]}, "without wildcards, but has [info.*]"),
        ("rescore", {"field": "a", "modifier": "cube"}, "unknown variant `cube`"),
        ("set", {"field": "a", "value": "{{#x}}y{{/x}}"}, "only {{field}} tags"),
        ("remove", {}, "[field] required property is missing"),
        ("rename", {"field": "a"}, "missing field `target_field`"),
        ("convert", {"field": "a", "type": "decimal"}, "type [decimal] not supported"),
        ("drop", {"x": 1}, "unknown field `x`"),
        ("filter_query", {"query": []}, "must be an object"),
        ("truncate_hits", {"target_size": -1}, "greater than or equal to 0"),
        ("nothing", {}, "no built-in [nothing]"),
    ],
)
def test_bad_options_are_refused_when_the_stage_is_made(function: str, parameters: dict[str, Any], words: str):
    kind = dict(Native.functions()).get(function, ["document"])[0]
    with pytest.raises(ValueError, match=r".") as caught:
        Native(function, kind, json.dumps(parameters).encode())
    assert words in str(caught.value)


REQUEST = [
    [{"filter_query": {"query": {"term": {"t": "a"}}}}],
    [{"oversample": {"sample_factor": 2.5}}],
    [],
]
RESPONSE: list[list[dict[str, Any]]] = [
    [{"truncate_hits": {"target_size": 2}}],
    [{"rename_field": {"field": "t", "target_field": "kind"}}],
    [{"rename_field": {"field": "nope", "target_field": "kind", "ignore_missing": True}}],
    [{"rename_field": {"field": "nope", "target_field": "kind"}}],
    [{"collapse": {"field": "t"}}],
    [{"sort": {"field": "l"}}],
    [{"sort": {"field": "l", "order": "desc", "target_field": "sorted"}}],
    [{"split": {"field": "csv", "separator": ","}}],
    [{"split": {"field": "csv", "separator": ",", "preserve_trailing": True, "target_field": "parts"}}],
]
SEARCHES: list[dict[str, Any]] = [
    {},
    {"query": {"range": {"n": {"gte": 1}}}, "size": 3},
    {"query": {"match_all": {}}, "sort": ["n"]},
    {"sort": ["n"], "fields": ["t"], "_source": False},
    {"sort": ["n"], "fields": ["t", "n"]},
]


def run_search_native(function: str, kind: str, options: Any, text: bytes, ctx: bytes | None) -> Batch:
    batch = Batch.of(kind, text, ctx=ctx)
    made = Native(function, kind, json.dumps(options).encode())
    if not made.per_hit:
        batch.run_native(made, Deadline(), abort=True, pipeline="", stage="")
        return batch
    hits = batch.hits()
    hits.run_native(made, Deadline(), abort=True, pipeline="", stage="")
    batch.absorb_hits(hits)
    return batch


@pytest.fixture
async def searched(direct: Http, name: str) -> str:
    await direct.put(f"/{name}", {"mappings": {"properties": {"t": {"type": "keyword"}}}})
    for i in range(8):
        document = {"t": "ab"[i % 2], "n": i, "l": [3 * i % 5, 1, 2], "csv": f"{i},x,,"}
        await direct.put(f"/{name}/_doc/{i}?refresh=true", document)
    return name


@pytest.mark.parametrize("response", RESPONSE, ids=json.dumps)
async def test_search_processors_as_the_cluster_does_them(direct: Http, searched: str, response: list[dict[str, Any]]):
    for request in REQUEST:
        pipeline = {"request_processors": request, "response_processors": response}
        assert (await direct.put(f"/_search/pipeline/{searched}", pipeline)).status == 200
        for body in SEARCHES:
            expected = await direct.post(f"/{searched}/_search?search_pipeline={searched}", body)
            text, ctx, failure = json.dumps(body).encode(), None, None
            for processor in request:
                (function, options), *_ = processor.items()
                batch = run_search_native(function, "query", options, text, ctx)
                text, ctx = batch.document(0), batch.context(0)
            text = (await direct.post(f"/{searched}/_search", text)).body
            for processor in response:
                (function, options), *_ = processor.items()
                batch = run_search_native(function, "result", options, text, ctx)
                text, failure = batch.document(0), batch.outcome(0)[1]
            if expected.status == 200:
                assert failure is None, body
                assert json.loads(text)["hits"] == expected.json["hits"], body
            else:
                assert failure is not None, expected.body
                assert expected.error["root_cause"][0]["reason"].endswith(failure[2])


async def test_truncate_hits_takes_back_what_oversample_added(direct: Http, searched: str):
    pipeline = {
        "request_processors": [{"oversample": {"sample_factor": 2, "context_prefix": "p"}}],
        "response_processors": [{"truncate_hits": {"context_prefix": "p"}}],
    }
    await direct.put(f"/_search/pipeline/{searched}", pipeline)
    body = {"size": 3, "sort": ["n"]}
    expected = (await direct.post(f"/{searched}/_search?search_pipeline={searched}", body)).json["hits"]
    query = run_search_native(
        "oversample", "query", {"sample_factor": 2, "context_prefix": "p"}, json.dumps(body).encode(), None
    )
    assert json.loads(query.document(0))["size"] == 6
    answer = await direct.post(f"/{searched}/_search", query.document(0))
    result = run_search_native("truncate_hits", "result", {"context_prefix": "p"}, answer.body, query.context(0))
    assert json.loads(result.document(0))["hits"] == expected
    lost = run_search_native("truncate_hits", "result", {}, answer.body, None)
    assert lost.outcome(0)[1][2] == "Must specify target_size unless an earlier processor set original_size"


LINES = ["été\n naïve", "a\r\nb 1\n", "x\xa0y\tz\x85", "K\u212a ß SS", "1.5e3", "_é1\u2028b", "first\n[x] rest\n", ""]
TEXTS = {
    "gsub": LINES,
    "split": LINES,
    "kv": ["a=1&b=2", "a=1&a=2&c=", "x", "k=(v)", "=v", "a=b=c", ""],
    "dissect": ["1 - x [y]", "a b c", "  a", "1-2 3", "[x] y"],
    "grok": [*LINES, "10.0.0.1 GET 200", "::1 put 404", "x", "host.example.com POST 5e3", "1.2.3 X 7"],
    "csv": ["a,b", '"x,y",z', "1;2", 'a,"b""c"', ' "q" , r', ",,", 'x"y', '"open'],
    "date": [
        "2024-02-29T23:59:59.999Z",
        "2024-02-29",
        "29/Feb/2024:23:59:59 +0130",
        "1709251199",
        "2023-02-29",
        "soon",
    ],
    "html_strip": ["<p>a</p>b", "a<br>b", "&lt;b&gt;<i>x</i>", '<a href="x>y">z</a>', "1 < 2 > 0", "<!--x-->y<div>z"],
    "bytes": ["1kb", "5MB", "7", "-1", "2 gb", "x", "3b", "1.5kb"],
    "urldecode": ["a%20b", "a+b", "%E2%82%AC", "%", "%4", "%zz", "100%25", "a=b&c"],
    "user_agent": [
        "curl/8.5.0",
        "Wget/1.21",
        "Googlebot/2.1 (+http://www.google.com/bot.html)",
        "x",
    ],
}
OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("set", {"field": "o.k", "value": "{{a}}/{{n}}"}),
    ("set", {"field": "l.0", "value": [1, {"x": "{{a}}"}]}),
    ("remove", {"field": ["a", "o.k"], "ignore_missing": True}),
    ("rename", {"field": "a", "target_field": "o.k"}),
    ("copy", {"source_field": "o", "target_field": "l", "override_target": True}),
    *[("convert", {"field": "a", "type": kind}) for kind in ("integer", "long", "double", "boolean", "string", "auto", "ip")],
    ("lowercase", {"field": "a"}),
    ("uppercase", {"field": "l", "ignore_missing": True}),
    ("trim", {"field": "a", "target_field": "o.k"}),
    ("split", {"field": "a", "separator": "[ ,;]+"}),
    ("split", {"field": "a", "separator": "", "preserve_trailing": True}),
    ("join", {"field": "l", "separator": "-"}),
    ("gsub", {"field": "a", "pattern": "([a-z])\\d*", "replacement": "<$1>"}),
    ("gsub", {"field": "a", "pattern": "\\h+|\\R|(?i)[a-k]|\\b\\w$", "replacement": "<$0>"}),
    ("split", {"field": "a", "separator": "(?<=\\W)|\\v+"}),
    ("grok", {"field": "a", "patterns": ["(?m)^%{WORD:w}$.%{GREEDYDATA:rest}", "(?:%{NUMBER:f:float}|%{WORD:f})$"], "trace_match": True}),
    ("append", {"field": "a", "value": ["x", "{{n}}"], "allow_duplicates": False}),
    ("json", {"field": "a", "target_field": "j"}),
    ("kv", {"field": "a", "field_split": "&", "value_split": "="}),
    ("kv", {"field": "a", "field_split": "&", "value_split": "=", "target_field": "t", "strip_brackets": True}),
    ("dissect", {"field": "a", "pattern": "%{x->} %{+y} [%{z}]"}),
    ("dissect", {"field": "a", "pattern": "%{x} %{?skip} %{x}", "append_separator": "+"}),
    ("grok", {"field": "a", "patterns": ["%{IP:ip} %{WORD:verb} %{NUMBER:code:int}", "%{HOSTNAME:host} %{WORD:verb}"]}),
    ("csv", {"field": "a", "target_fields": ["x", "y"]}),
    ("csv", {"field": "a", "target_fields": ["x", "y", "z"], "separator": ";", "trim": True, "empty_value": ""}),
    ("date", {"field": "a", "formats": ["ISO8601", "dd/MMM/yyyy:HH:mm:ss Z", "UNIX"]}),
    ("date", {"field": "a", "formats": ["ISO8601"], "timezone": "Asia/Kolkata", "output_format": "EEE, d MMM yy h:mm a Z"}),
    ("html_strip", {"field": "a"}),
    ("bytes", {"field": "a"}),
    ("urldecode", {"field": "a"}),
    ("fingerprint", {}),
    ("fingerprint", {"fields": ["a", "o", "l"], "ignore_missing": True, "hash_method": "SHA-256@2.16.0"}),
    ("dot_expander", {"field": "d.e"}),
    ("sort", {"field": "l", "order": "desc"}),
    ("user_agent", {"field": "a"}),
    ("foreach", {"field": "l", "processor": {"set": {"field": "_ingest._value", "value": "{{_ingest._value}}!"}}}),
    ("foreach", {"field": "l", "processor": {"uppercase": {"field": "_ingest._value"}}}),
]  # fmt: skip
DRAWN = 60


def drawn(random: Random, function: str) -> dict[str, Any]:
    """A document whose fields are there or not, of the type that a processor wants or of another."""
    plain: list[Any] = ["Mixed Case", " pad ", "x1y22", "a,b;c", "", "7", "-3.5", "true", "0x1f", 7, -2.5, True, None]
    texts: list[Any] = [*TEXTS.get(function, plain), *random.sample(plain, 3)]
    leaves = [*texts, ["A", "b"], [3, 1, 2], [1.5, 0.5], [], {"k": "v"}, {"k": {"e": [1]}}]
    document = {name: random.choice(leaves) for name in ("a", "l", "o", "n") if random.random() < 0.8}
    if random.random() < 0.7:
        document["a"] = random.choice(texts)
    if random.random() < 0.3:
        document["d.e"] = random.choice([1, [2]])
        if random.random() < 0.5:
            document["d"] = random.choice([{"f": 1}, {"e": 0}, "x"])
    return document


@pytest.mark.parametrize(("function", "options"), OPTIONS, ids=lambda v: v if isinstance(v, str) else json.dumps(v))
async def test_random_documents_come_out_as_the_cluster_makes_them(
    direct: Http, function: str, options: dict[str, Any]
):
    random = Random(os.environ.get("HEADRACE_SEED", "headrace") + json.dumps(options))
    documents = [drawn(random, function) for _ in range(DRAWN)]
    expected = await simulated(direct, function, options, documents)
    for document, wanted in zip(documents, expected, strict=True):
        found = ours(function, options, document)
        if wanted[0] == "error" and str(wanted[2]).startswith((*JAVAS_OWN, "For input string")):
            assert found[0] == "error", (document, wanted)
        else:
            assert found == wanted, document
