"""Configurations of Logstash as people write them, converted and run in the engine."""

from __future__ import annotations

import json
import time

import pytest

from headrace.project.source import Source
from headrace.project.tools import migration
from headrace.project.tools.migration import MigrationError
from headrace_pipelines import Pipelines

APACHE = r"""
input { beats { port => 5044 codec => json { charset => "UTF-8" } } }
filter {
  if [type] == "apache" or "apache" in [tags] {
    grok {
      match => { "message" => "%{COMBINEDAPACHELOG}" }
      remove_field => ["message"]
    }
    date { match => [ "timestamp", "dd/MMM/yyyy:HH:mm:ss Z" ] remove_field => "timestamp" }
    mutate {
      add_field => { "origin" => "%{clientip}-web" }  # a comment with a "quote
      convert => { "bytes" => "integer" "response" => "integer" }
      gsub => ["referrer", "^\"|\"$", ""]
    }
    geoip { source => "clientip" }
    if [response] >= 500 { mutate { add_tag => ["server_error"] replace => { "response" => 1 } } }
    else if [response] in [404, 403] or [verb] =~ /^PO\w+$/ { mutate { add_tag => "client_error" } }
    else { drop { } }
  }
}
output { if [a] { elasticsearch { hosts => ["localhost"] index => "logs-%{+YYYY.MM.dd}" } } }
"""
LINE = '127.0.0.1 - - [10/Oct/2000:13:55:36 -0700] "{verb} /a HTTP/1.0" {status} 2326 "http://e.x/" "curl"'


def converted(text, kind="logstash"):
    """The conversion, whose YAML holds the same pipelines as the engine runs."""
    conversion = migration.convert(kind, text)
    found = migration.definitions(conversion)
    for (_, written), definition in zip(migration.texts(conversion, "p").items(), found, strict=True):
        value = Source.parse(written, "p.yaml").value
        value.pop("name", None)
        stages = value["stages"]
        assert stages == definition["stages"] or stages[0]["name"] == "nothing"
    return conversion


def run(text, *documents, kind="logstash"):
    (definition,) = migration.definitions(converted(text, kind))
    outcome = Pipelines.load({"p": definition}).run("p", list(documents))
    assert outcome.failures == []
    return [json.loads(each) for each in outcome.texts]


def filtered(body, *documents):
    return run(f"filter {{ {body} }}", *documents)


def statuses(conversion):
    return [(each.line, each.part, each.status) for each in conversion.findings]


def test_an_access_log_of_apache():
    found = run(
        APACHE,
        {"type": "apache", "message": LINE.format(verb="GET", status=503)},
        {"tags": ["apache"], "message": LINE.format(verb="GET", status=404)},
        {"type": "apache", "message": LINE.format(verb="POST", status=200)},
        {"type": "apache", "message": LINE.format(verb="GET", status=200)},
        {"type": "nginx", "message": "x"},
    )
    common = {
        "@timestamp": "2000-10-10T20:55:36.000Z", "clientip": "127.0.0.1", "ident": "-", "auth": "-",
        "httpversion": "1.0", "request": "/a", "bytes": 2326, "referrer": "http://e.x/", "agent": '"curl"',
        "origin": "127.0.0.1-web",
    }  # fmt: skip
    assert found == [
        {**common, "type": "apache", "verb": "GET", "response": 1, "tags": ["server_error"]},
        {**common, "verb": "GET", "response": 404, "tags": ["apache", "client_error"]},
        {**common, "type": "apache", "verb": "POST", "response": 200, "tags": ["client_error"]},
        {"type": "nginx", "message": "x"},
    ]


def test_each_part_has_a_line_in_the_report_and_the_rest_is_a_comment_in_its_place():
    conversion = converted(APACHE)
    assert statuses(conversion) == [
        (2, "input beats", "cannot"),
        (5, "grok", "converted"),
        (9, "date", "converted"),
        (10, "mutate", "converted"),
        (15, "geoip", "by hand"),
        (16, "mutate", "converted"),
        (17, "mutate", "converted"),
        (18, "drop", "converted"),
        (21, "output elasticsearch", "by hand"),
    ]
    (text,) = migration.texts(conversion, "p").values()
    assert text.index("name: gsub") < text.index("# line 15: by hand: geoip") < text.index("name: if-16")
    assert '#     geoip { source => "clientip" }' in text
    assert not conversion.whole


def test_syslog():
    text = r"""
    filter {
      grok {
        match => { "message" => [
          "^<%{NONNEGINT:priority:int}>%{SYSLOGTIMESTAMP:at} %{SYSLOGHOST:[host][name]} %{PROG:program}: %{GREEDYDATA:message}$",
          "%{WORD:program}: %{GREEDYDATA:message}" ] }
        overwrite => ["message"]
      }
      if "_grokparsefailure" not in [tags] and [at] {
        date { match => ["at", "MMM  d HH:mm:ss yyyy", "ISO8601", "MMM dd HH:mm:ss"] timezone => "UTC" }
      }
      if ![program] { drop {} } else if [program] !~ /d$/ { mutate { uppercase => ["program"] } }
    }"""
    first, second = run(
        text,
        {"message": "<13>Oct 11 22:14:15 mars sshd: failed: root"},
        {"message": "cron: done"},
        {"message": "?"},
    )
    assert first.pop("@timestamp").endswith("-10-11T22:14:15.000Z")
    assert first == {
        "priority": 13, "at": "Oct 11 22:14:15", "host": {"name": "mars"}, "program": "sshd", "message": "failed: root",
    }  # fmt: skip
    assert second == {"program": "CRON", "message": "done"}


def test_a_log_of_an_application_in_json():
    text = """
    filter {
      json { source => "message" remove_field => "message" }
      if [level] in ["DEBUG", "TRACE"] { drop {} }
      mutate {
        copy => { "[user][id]" => "uid" }
        rename => { "msg" => "[event][text]" }
        lowercase => "level"
        strip => ["[event][text]"]
        split => { "roles" => "|" }
        update => { "env" => "set" }
        remove_field => ["[user]"]
      }
      kv { source => "query" field_split => "&" target => "args" }
      csv { source => "row" columns => ["a", "b"] convert => { "b" => "integer" } autogenerate_column_names => false }
      dissect { mapping => { "path" => "/%{area}/%{[item][id]}" } }
      urldecode { field => "[args][q]" }
    }"""
    body = {"level": "INFO", "msg": " hi ", "user": {"id": 7}, "roles": "a|b", "query": "q=a%20b&n=1", "row": "x,3"}
    found = run(
        text,
        {"message": json.dumps(body | {"path": "/shop/9"})},
        {"message": '{"level": "DEBUG"}'},
        {"message": "no json"},
        {"level": 5},
    )
    assert found == [
        {
            "level": "info", "event": {"text": "hi"}, "uid": 7, "roles": ["a", "b"], "query": "q=a%20b&n=1",
            "row": "x,3", "args": {"q": "a b", "n": "1"}, "a": "x", "b": 3, "path": "/shop/9", "area": "shop",
            "item": {"id": "9"},
        },
        {"message": "no json", "tags": ["_jsonparsefailure"]},
        {"level": 5},
    ]  # fmt: skip


def test_options_of_a_filter_that_fails_do_not_run():
    text = "kv { source => 'a' tag_on_failure => [] remove_field => ['a'] add_field => { 'b' => 1 } }"
    assert filtered(text, {"a": "x"}, {"a": "x=1"}, {}) == [{"a": "x"}, {"x": "1", "b": 1}, {}]


def test_fields_that_exist_become_lists_as_in_logstash():
    text = 'mutate { add_field => { "a" => "%{b}" } }'
    assert filtered(text, {"b": 1}, {"a": "x", "b": 1}) == [{"b": 1, "a": "1"}, {"a": ["x", "1"], "b": 1}]


def test_a_case_that_changes_the_field_of_the_condition_does_not_run_the_next():
    text = 'if [a] == 1 { mutate { replace => { "a" => 2 } } } else if [a] == 2 { drop {} } else { mutate { add_tag => t } }'
    assert filtered(text, {"a": 1}, {"a": 2}, {"a": 3}) == [{"a": 2}, {"a": 3, "tags": ["t"]}]


@pytest.mark.parametrize(
    ("condition", "holds", "fails"),
    [
        ("[a]", [0, 1, "x", [0]], [None, False]),
        ("![a]", [None, False], [0, 1, "x"]),
        ("[a] == 'x'", ["x"], [None, "y", 1]),
        ("[a] == 404", [404], ["404", None]),
        ("'x' in [a]", ["x", ["x"], "axb"], [None, "y", ["y"]]),
        ("[a] not in ['x', 1]", [None, 2, "y"], ["x", 1]),
        ("[a] > 3", [4, 3.5], [None, 3]),
        ("5 >= [a]", [5, 1], [6, None]),
        ("[a] =~ /^x\\d$/", ["x1", "y\nx1"], ["x12", 1, None, ["x1"]]),
        ("[a] !~ '^x'", ["y", None, 4], ["xy"]),
        ("[a] == 1 xor [b] == 1", [1], [2, None]),
        ("[a] == 1 nand [b] != 1", [2, None], [1]),
        ("([a] == 1 and ![b]) or [a] == 2", [1, 2], [3]),
    ],
)
def test_conditions(condition, holds, fails):
    (definition,) = migration.definitions(converted(f"filter {{ if {condition} {{ drop {{}} }} }}"))
    pipelines = Pipelines.load({"p": definition})
    for expected, values in ((1, holds), (0, fails)):
        for value in values:
            assert pipelines.run("p", [{"a": value}]).dropped == expected, (condition, value)


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ("ruby { code => 'x' }", "by hand", "write a UDF"),
        ("aggregate { task_id => 'x' }", "cannot", "alone"),
        ("fingerprint { source => 'x' }", "cannot", "hashes another text"),
        ("nonsense { }", "cannot", "no built-in for [nonsense]"),
        ("mutate { capitalize => ['a'] }", "by hand", "[capitalize]"),
        ("drop { percentage => 40 }", "by hand", "[percentage]"),
        ("mutate { add_field => { 'a' => '%{+YYYY}' } }", "by hand", "date"),
        ("mutate { add_field => { '[@metadata][a]' => 'x' } }", "by hand", "@metadata"),
        ("mutate { replace => { 'a' => '${HOME}' } }", "by hand", "environment variable"),
        ("mutate { replace => { '_id' => 'x' } }", "by hand", "another meaning"),
        ("mutate { gsub => ['a', '(?<=x)y', ''] }", "by hand", "group of the form"),
        ("mutate { gsub => ['a', '\\h', ''] }", "by hand", "differs between"),
        ("mutate { gsub => ['a', '(', ''] }", "by hand", "the built-in refuses it"),
        ("mutate { convert => { 'a' => 'float_eu' } }", "by hand", "float_eu"),
        ("grok { match => { 'a' => '%{NOPATTERN:x}' } }", "by hand", "the built-in refuses it"),
        ("grok { match => { 'message' => '%{DATA:message}' } }", "by hand", "without overwrite"),
        ("grok { match => { 'a' => 'x' } patterns_dir => ['/p'] }", "by hand", "[patterns_dir]"),
        ("date { match => ['a', 'xxxx'] }", "by hand", "another meaning"),
        ("date { match => ['a', 'yyyy Z'] timezone => 'Europe/Paris' }", "by hand", "timezone"),
        ("dissect { mapping => { 'a' => '%{+b} %{+b}' } }", "by hand", "another meaning"),
    ],
)
def test_what_has_no_counterpart_is_reported(body, status, reason):
    (finding,) = converted(f"filter {{\n{body} }}").findings
    assert (finding.line, finding.status) == (2, status)
    assert reason in finding.reason


def test_below_a_condition_that_is_not_converted_nothing_is():
    conversion = converted("filter {\nif [a] =~ /(?=x)/ {\ndrop {}\nmutate {} } }")
    assert statuses(conversion) == [(2, "if", "by hand"), (3, "drop", "by hand"), (4, "mutate", "by hand")]
    (text,) = migration.texts(conversion, "p").values()
    assert "# if [a] =~ /(?=x)/ {\n  # drop {}" in text


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("filter {\n mutate { add_tag => 'x } }", 2, "has no end"),
        ("filter { mutate { add_tag => ", 1, "expects a value"),
        ("filter {\n mutate {", 2, "expects an option"),
        ("filtr { }", 1, "expects one of input, filter, output"),
        ("filter { " + "if [a] { " * 5000, 1, "deeper"),
        ("filter { if " + "(" * 5000, 1, "deeper"),
        ("filter { if " + "!" * 5000, 1, "deeper"),
        ("filter { a { b => " + "[ " * 5000, 1, "deeper"),
        ("filter { a { b => " + "{ a => " * 5000, 1, "deeper"),
        ("filter { a { b => " + "9" * 5000 + " } }", 1, "digits"),
        ("filter { " + "if [a] { drop {} } " * 12 * 1000 + "}", 1, "more than 2000"),
        ("filter { if [a] {} " + "else if [a] {} " * 12_000 + "}", 1, "more than 2000"),
        ("filter { " + "if [a] { drop {} mutate { add_tag => x } " * 12 + "}" * 13, 1, "engine refuses"),
        ("x" * 10_000_000, 1, "more than"),
    ],
)
def test_hostile_texts_end_soon_with_their_line(text, line, reason):
    started = time.monotonic()
    with pytest.raises(MigrationError, match=reason) as caught:
        migration.convert("logstash", text)
    assert caught.value.line == line
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("part", ['"', "'", '"\\"', "[a", "=~ /", "#", "\\", "{", "a => "])
def test_long_repetitions_end_soon(part):
    started = time.monotonic()
    with pytest.raises(MigrationError):
        migration.convert("logstash", "filter { if " + part * (1_000_000 // len(part)))
    assert time.monotonic() - started < 20
