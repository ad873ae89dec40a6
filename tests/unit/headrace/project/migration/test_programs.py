"""Configurations of Vector, of the INFINI gateway and of the cluster, converted and run in the engine."""

from __future__ import annotations

import json
import time

import pytest

from headrace.project.problems import ProjectError
from headrace.project.tools import migration
from headrace.project.tools.migration import MigrationError
from headrace_pipelines import Pipelines
from tests.unit.headrace.project.migration.test_logstash import converted, run, statuses

VECTOR = """
[sources.in]
type = "stdin"

[transforms.keep]
type = "filter"
inputs = ["parse"]
condition = '.status != 404 && exists(.status)'

[transforms.parse]
type = "remap"
inputs = ["in"]
source = '''
# the message doesn't stay
. |= parse_json!(string!(.message))
del(.message)
.env = "pr#d" # where
.level = downcase!(.level)
.status = to_int!(.status)
if exists(.user) {
  .user.name = upcase!(.user.name)
  .geo = get_enrichment_table_record!("geo", {
    "ip": .ip
  })
}
if .level == "debug" || .level == "trace" {
  abort
}
if .a == 1 {
  .b = 2
} else {
  .b = 3
}
.copy = .env
'''

[sinks.out]
type = "console"
inputs = ["keep"]
"""


def test_a_chain_of_transforms_of_vector():
    found = run(
        VECTOR,
        {"message": '{"level": "INFO", "status": "200", "user": {"name": "eve"}}'},
        {"message": '{"level": "DEBUG", "status": 1}'},
        {"message": '{"level": "INFO", "status": 404}'},
        {"message": '{"level": "INFO", "status": "no", "a": 1}', "status": 3},
        {"message": "no status"},
        kind="vector",
    )
    assert found == [
        {"level": "info", "status": 200, "user": {"name": "EVE"}, "env": "pr#d", "copy": "pr#d"},
        {"status": "no", "a": 1, "level": "info", "env": "pr#d"},
    ]


def test_each_statement_of_a_program_has_a_line():
    conversion = converted(VECTOR, "vector")
    assert [(line, status) for line, _, status in statuses(conversion) if status != "converted"] == [
        (2, "cannot"),
        (22, "by hand"),
        (29, "by hand"),
        (37, "cannot"),
    ]
    assert (5, "keep", "converted") in statuses(conversion)
    assert (16, "del(.message)", "converted") in statuses(conversion)
    (text,) = migration.texts(conversion, "p").values()
    assert '# "ip": .ip\n' in text
    assert "# .b = 3\n" in text


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        (".a = now()", "no conversion"),
        (".a = downcase(.b) ?? .c", "no conversion"),
        (". = parse_json!(.message)", "keeps the other fields"),
        (".a = s'first\n.b = 1\n'", "several lines"),
        ('.a = "first\n.b = 1\n"', "several lines"),
        ('.a = "${HOME}"', "environment variable"),
        ('.a = "{{b}}"', "template"),
        ("if is_string(.a) {\n.b = 1\n}", "another form"),
        ("if exists(.a) {\n.b = 1", "no end"),
        ("._id = 1", "another meaning"),
        ("}", "else"),
    ],
)
def test_a_statement_that_is_not_understood_is_left_whole(statement, reason):
    text = json.dumps({"transforms": {"a": {"type": "remap", "inputs": [], "source": statement}}})
    conversion = converted(text, "vector")
    assert any(reason in finding.reason for finding in conversion.findings)
    assert all(finding.status != "converted" for finding in conversion.findings)


@pytest.mark.parametrize(
    "transforms",
    [
        {"a": {"inputs": ["x"]}, "b": {"inputs": ["x"]}},
        {"a": {"inputs": ["x"]}, "b": {"inputs": ["a"]}, "c": {"inputs": ["a"]}},
        {"a": {"inputs": ["b"]}, "b": {"inputs": ["a"]}},
        {"a": {"inputs": ["x"]}, "b": {"inputs": ["b"]}},
    ],
)
def test_transforms_that_are_no_chain_are_refused(transforms):
    with pytest.raises(MigrationError, match="no single chain"):
        migration.convert("vector", json.dumps({"transforms": transforms}))


def test_options_and_transforms_without_a_counterpart_are_reported():
    transforms = {
        "a": {"type": "lua", "inputs": []},
        "b": {"type": "remap", "inputs": ["a"], "file": "x.vrl"},
        "c": {"type": "filter", "inputs": ["b"], "condition": "is_string(.a)"},
    }
    conversion = converted(json.dumps({"transforms": transforms, "api": {}}), "vector")
    assert [status for _, _, status in statuses(conversion)].count("converted") == 0
    assert len(conversion.findings) == 4


INFINI = """
entry:
  - name: es
flow:
  - name: searches
    filter:
      - request_body_json_set:
          path:
            - size -> 3
            - query.term.tenant -> "a"
      - request_body_json_del:
          path: [aggs]
          ignore_missing: true
      - request_body_json_set:
          path: [a -> b]
      - basic_auth: {}
      - echo: {message: x}
"""


def test_the_filters_of_a_gateway():
    conversion = converted(INFINI, "infini")
    assert [(line, status) for line, _, status in statuses(conversion)] == [
        (2, "cannot"),
        (7, "converted"),
        (11, "converted"),
        (14, "by hand"),
        (16, "by hand"),
        (17, "cannot"),
    ]
    (definition,) = migration.definitions(conversion)
    found = Pipelines.load({"p": definition}).run_query("p", {"aggs": {}, "query": {"term": {}}})
    assert found == {"query": {"term": {"tenant": "a"}}, "size": 3}


def test_pipelines_of_the_cluster_in_files():
    body = {"processors": [{"lowercase": {"field": "a"}}], "on_failure": [{"drop": {}}]}
    assert run(json.dumps({"name": body}), {"a": "X"}, {}, kind="ingest") == [{"a": "x"}]
    text = "request_processors:\n- oversample: {sample_factor: 2}\nresponse_processors:\n- truncate_hits: {}\n"
    conversion = converted(text, "search")
    assert list(migration.texts(conversion, "p")) == ["p-query", "p-result"]
    assert conversion.whole
    conversion = converted(json.dumps({"processors": [{"drop": {"if": "ctx.a == 1"}}]}), "ingest")
    assert [(each.status, "Painless" in each.reason) for each in conversion.findings] == [("by hand", True)]


@pytest.mark.parametrize("kind", ["ingest", "search", "vector", "infini"])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "[" * 100_000,
        '{"a":' * 100_000,
        "a = [" * 100_000,
        "x" * 10_000_000,
        '{"processors": 3, "request_processors": 3, "transforms": {"a": 1}, "flow": [1]}',
        '{"processors": {}, "request_processors": {}, "transforms": [], "flow": {}}',
        "&a [*a]",
        "x: &a [1,1,1,1,1,1,1,1]\n" + "".join(f"y{i}: &{chr(98 + i)} [{f'*{chr(97 + i)},' * 8}]\n" for i in range(9)),
    ],
)
def test_hostile_files_end_soon(kind, text):
    started = time.monotonic()
    with pytest.raises((MigrationError, ProjectError)):
        migration.convert(kind, text)
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("processor", [1, "set", None, {"set": 1}, {"set": {}, "drop": {}}, [], {}, {"set": [1]}])
def test_a_processor_of_another_form_is_no_conversion(processor):
    try:
        conversion = migration.convert("ingest", json.dumps({"processors": [processor]}))
    except MigrationError:
        return
    assert not conversion.whole


def test_a_long_program_ends_soon():
    for line in (".a = 1\n", "if exists(.a) {\n", '.a = "' + "x" * 500 + '"\n', "#" * 1000 + "\n", '"' * 400 + "\n"):
        started = time.monotonic()
        source = line * (1_000_000 // len(line))
        migration.convert(
            "vector", json.dumps({"transforms": {"a": {"type": "remap", "inputs": [], "source": source}}})
        )
        migration.convert(
            "vector", json.dumps({"transforms": {"a": {"type": "remap", "inputs": [], "source": line * 1999}}})
        )
        assert time.monotonic() - started < 30, line[:20]
