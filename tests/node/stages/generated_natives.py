"""Options of built-ins and documents for them, drawn at random: each option from all that it may be, not one list of pairs.

A document's values flow into names, templates and patterns, so texts have the characters that the next step might read as
something else: quotes, backslashes, braces, digits with leading zeros, marks of HTML and JSON.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from random import Random

FIELDS = [
    "a",
    "a",
    "a",
    "l",
    "o",
    "o.k",
    "o.o.k",
    "l.0",
    "l.1.k",
    "l.9",
    "z",
    "d.e",
    "no",
    "no.no",
    "_source.a",
    "a.",
    ".a",
    "a..b",
]
TEMPLATED = [*FIELDS, "{{f}}", "{{f}}", "o.{{f}}", "{{{f}}}"]
TARGETS = ["t", "t", "t.u", "a", "o.k", "o.new", "l.0", "l", "z.x", "_id", "_routing"]
NAMES = [
    "a", "t", "o.k", "_id", "_routing", "_source.a", "", "a.", "é", 'q"', 5, None, ["a"], "l.0", "_index", "x[0]", "[1/a b]", "p[q].r", {"bb": [1, 2], "a": 1},
]  # fmt: skip
WORDS = [
    "Mixed Case",
    " pad ",
    "",
    "7",
    "007",
    "-3.5",
    "1e3",
    "true",
    "0x1f",
    'say "hi"',
    "C:\\temp",
    "two\nlines",
    "é\U0001f600",
    "{{a}}",
    "null",
]
PLAIN: list[Any] = [*WORDS, 7, -2.5, 1.0, True, False, None, 123456789012, 1e20]
TEXTS: dict[str, list[Any]] = {
    "convert": [
        "0123", "08", "0x7b", "0X7B", "-0x1", "#1F", "+5", "-017", "1_000", "1e3", "1.0", " 5", "5 ", "-", "2147483648", "9223372036854775808", "1L",
        "TRUE", "yes", ".5", "5.", "1f", "1.5d", "0x", "0x-1", "--1", "00", "0x1p3", "\uff11\uff12", "NaN", "-Infinity", "1e39", "1e400", "1.2.3",
        "fe80::1%eth0", "::1", "1.2.3.4", "01.2.3.4", "::ffff:1.2.3.4", "fe80::1%", "1.2.3.4%x", 1.5, 16777217, True,
    ],
    "bytes": ["1kb", "1KB", "1 kb", " 1kb ", "1.5kb", "-1", "-1kb", "0", "00", "1", "1b", "1kib", "9999999999999gb", "kb", "8192pb", "1k", "\uff11kb", "-2b", "1pb", 5],
    "csv": ["a,b", "a,,", "a,", ",", ",,,", '"x,y",z', 'a,"b""c"', ' "q" , r', "a ; b", "a;;", '"open', 'x"y', '"a" x', "'a;b';c", "a\tb", '""', '"",', "a\nb", "é,\U0001f600"],
    "json": [
        '{"a":1}', '{"x":{"y":[1,2]}}', "[1,2", "5,6", "5 6", "\ufeff{}", "/*c*/[1/*,*/]", "// c\n1", "5//c", "true,", "truex", "null", '"s" x', "{} x", '{"a":1,"a":2}',
        "{'a':1}", "NaN", "1.10", "", " ", "[1,]", '{"_id":"zz"}', '{"_routing":"r","k":null}', '{"a.b":1}', 5, True, [1], "/", "/*",
    ],
    "html_strip": [
        "<p>a</p>b", "a<br/>b", "&lt;b&gt;<i>x</i>", '<a href="x>y">z</a>', "<a title='<b>'>t</a> u", "<!--x-->y<div>z", "<![CDATA[x<y>]]>t", "<!DOCTYPE html><x>t</x>", "<?xml v?>t",
        "<script>a</script>b", "<style>a", "a&nbsp;b <i>", "&#0;&#x41;&#65 <b>", "&notin;&notit; <b>", "<broken", "<1>", "</ p>x", "x></b", "<p a='", "<ins>x</ins>", "&amp <b>", "<b>&copy",
    ],
    "urldecode": ["a%20b", "a+b", "%E2%82%AC", "%ED%A0%80", "%ED%A0x", "%F4%90%80%80", "%C3", "%", "%4", "%zz", "100%25", "a=b&c", "é%41"],
    "dissect": ["1 - x [y]", "[a.b] c", "[a]=1 b[0]:2", "_source.q=1 r:2", "a b c", "a=1 b:2", "a=1 a:2", "m=1 m:2", "=1 b:2", "  a", "a1b", "1,,3", "x"],
    "kv": ["a=1&b=2", "a=1&a=2&c=", "x", "k=(v)", "=v", "_id=5", "a.b=1", "", "a[]=1&b[x]=2&c[0]=3", "[x]=1", "_source.q=1"],
    "sort": [3, 1, 2.5, -0.0, 0.0, "b", "B", "é", "", True, 123456789012],
    "join": [3, 1, 2.5, -0.0, 1e20, "b", "é", "", True, 123456789012, {"bb": 1, "a": [{"z": 1, "c": 2}]}, [1]],
    "foreach": ["1", "x", "", "k=v", 1.5, {"k": "A"}, {"k": "1", "n": "x"}, ["A", "b"]],
    "user_agent": ["curl/8.5.0", "Wget/1.21", "Googlebot/2.1 (+http://www.google.com/bot.html)", "x", "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0"],
}  # fmt: skip
FLAGS = [None, None, True, False]
VALUES: list[Any] = [
    1, 1.0, True, None, "", "x", "{{a}}", "{{{a}}}|{{&a}}", "{{l}} {{l.size}} {{o.k}} {{d.e}}", ["{{a}}", {"k{{f}}": "{{a}}"}], {"a": 1, "b": [1]}, {"b": [1], "a": 1},
    [], ["x", "x"], [1, 1.0, "1"], "{{no}}", "{{_id}}/{{_index}}", "_id", "}} {{a}} {", {"_id": "_id"},
]  # fmt: skip
VALUE = "_ingest._value"
TOLD = "{{_ingest.on_failure_message}}|{{_ingest.on_failure_processor_type}}|{{_ingest.on_failure_processor_tag}}"
HANDLERS: list[dict[str, Any]] = [
    {}, {}, {"ignore_failure": True}, {"ignore_failure": False}, {"tag": "t1"}, {"on_failure": [{"set": {"field": "told", "value": TOLD}}]},
    {"tag": "t2", "on_failure": [{"append": {"field": "told", "value": TOLD}}, {"set": {"field": VALUE, "value": "{{_id}}"}}]},
    {"on_failure": [{"rename": {"field": "no", "target_field": "x", "on_failure": [{"append": {"field": "told", "value": TOLD}}]}}]},
    {"on_failure": [{"fail": {"message": "again: " + TOLD}}]}, {"on_failure": [{"drop": {}}]}, {"on_failure": []}, {"description": "d", "on_failure": [{"set": {"field": "_routing", "value": "r"}}]},
]  # fmt: skip
"""What a processor within another says of its own failures."""
INNER: list[dict[str, Any]] = [
    {function: {"field": field, **more, **handlers}}
    for function, more in (
        ("convert", {"type": "integer"}), ("uppercase", {}), ("rename", {"target_field": VALUE + ".new"}), ("remove", {}), ("set", {"value": "{{_ingest._value}}"}),
        ("join", {"separator": "-"}), ("kv", {"field_split": "&", "value_split": "="}), ("foreach", {"processor": {"convert": {"field": VALUE, "type": "long", "ignore_failure": True}}}),
    )
    for field in (VALUE, VALUE + ".k")
    for handlers in HANDLERS
    if function != "foreach" or "on_failure" not in handlers  # the cluster does not run those of one that is over no list
]  # fmt: skip
OPTIONS: dict[str, dict[str, list[Any]]] = {
    "set": {"field": [*TEMPLATED, *TARGETS], "value": VALUES, "override": FLAGS, "ignore_empty_value": FLAGS},
    "append": {"field": [*TEMPLATED, "l", "l"], "value": VALUES, "allow_duplicates": FLAGS},
    "remove": {"field": [*TEMPLATED, ["a", "{{f}}"], [], ""], "ignore_missing": FLAGS},
    "rename": {"field": TEMPLATED, "target_field": [*TARGETS, "{{f}}"], "ignore_missing": FLAGS, "override_target": FLAGS},
    "copy": {"source_field": TEMPLATED, "target_field": [*TARGETS, "{{f}}"], "ignore_missing": FLAGS, "override_target": FLAGS, "remove_source": FLAGS},
    "convert": {"field": FIELDS, "type": ["integer", "long", "float", "double", "boolean", "string", "auto", "ip", "INTEGER", "String"], "target_field": [None, None, *TARGETS], "ignore_missing": FLAGS},
    "lowercase": {"field": FIELDS, "target_field": [None, *TARGETS], "ignore_missing": FLAGS},
    "bytes": {"field": FIELDS, "target_field": [None, *TARGETS], "ignore_missing": FLAGS},
    "urldecode": {"field": FIELDS, "target_field": [None, *TARGETS], "ignore_missing": FLAGS},
    "html_strip": {"field": FIELDS, "target_field": [None, *TARGETS], "ignore_missing": FLAGS},
    "csv": {
        "field": FIELDS, "target_fields": [["t"], ["t", "u", "v"], ["t", "", "u"], ["o.k", "_id"], ["t", "t"], "t"], "separator": [None, ";", ",", " ", "\t"], "quote": [None, "'"],
        "trim": FLAGS, "empty_value": [None, None, "", 0, {"x": 1}], "ignore_missing": FLAGS,
    },
    "json": {"field": FIELDS, "target_field": [None, None, *TARGETS], "add_to_root": FLAGS},
    "dissect": {
        "field": FIELDS, "append_separator": [None, "-"], "ignore_missing": FLAGS,
        "pattern": [
            "%{x} %{y}", "%{x->} %{+x/2} %{+x}", "%{+x} %{y} %{+x}", "%{*k}=%{&k} %{*j}:%{&j}", "%{m} %{*k}=%{&k}", "%{x}%{y}", "a%{x}b", "%{?x} %{y}", "%{x/y}", "%{a?b} %{c}",
            "%{*k} %{y}", "%{_id} %{y}", "100% %{x}", "%{x},%{y},%{z}", "%{}", "%{*k} %{&k}", "%{x.y} %{x}", "%{x} %{x.y}", "%{_source.x} %{y}",
        ],
    },
    "kv": {"field": TEMPLATED, "field_split": ["&"], "value_split": ["="], "target_field": [None, "t", "{{f}}", "o", ""], "include_keys": [None, None, ["a"], []], "exclude_keys": [None, ["a"]], "prefix": [None, "p_"], "ignore_missing": FLAGS},
    "fingerprint": {
        "fields": [None, ["a"], ["l", "a", "a"], ["o"], ["_id"], ["_id", "a"], ["no"], ["o.k"], ["_source.a"], []], "exclude_fields": [None, None, ["a"], ["_id"]], "target_field": [None, "t", "_id"],
        "hash_method": [None, "MD5@2.16.0", "sha-256@2.16.0", "SHA3-256@2.16.0"], "ignore_missing": FLAGS,
    },
    "user_agent": {"field": FIELDS, "target_field": [None, "t"], "properties": [None, ["name", "OS"], ["os_name", "major"], []], "ecs": FLAGS, "ignore_missing": FLAGS},
    "trim": {"field": FIELDS, "target_field": [None, *TARGETS], "ignore_missing": FLAGS},
    "uppercase": {"field": FIELDS, "target_field": [None, *TARGETS], "ignore_missing": FLAGS},
    "sort": {"field": ["l", "l", "l", "a", "o.k"], "order": [None, "asc", "desc", "up"], "target_field": [None, *TARGETS]},
    "join": {"field": ["l", "l", "l", "a", "o.k"], "separator": ["-", "", "$1", "é"], "target_field": [None, *TARGETS]},
    "dot_expander": {"field": ["d.e", "d.e", "d.e.f", "k", ".d", "d..e"], "path": [None, None, "o", "no", "l"]},
    "foreach": {"field": ["l", "l", "l", "o.k", "no"], "processor": INNER, "ignore_missing": FLAGS},
    "fail": {"message": ["no {{a}}", "{{{o}}}", "x"]},
}  # fmt: skip


def options(random: Random, function: str) -> dict[str, Any]:
    """Options of the function: of each a value that it may have, or none, or null, which is none, too."""
    drawn = {name: random.choice(values) for name, values in OPTIONS[function].items()}
    return {
        name: value for name, value in drawn.items() if value is not None or name == "value" or random.random() < 0.1
    }


def document(random: Random, function: str) -> dict[str, Any]:
    """A document whose fields are there or not, of the type that a processor wants or of another."""
    texts = [*TEXTS.get(function, PLAIN), *random.sample(PLAIN, 3)]
    some = lambda: random.choice(texts)  # noqa: E731
    made: dict[str, Any] = {}
    if random.random() < 0.9:
        made["a"] = some()
    if random.random() < 0.7:
        lists: list[Any] = [
            [],
            ["x"],
            [some()],
            [some(), {"k": some()}],
            [{"zz": 1, "b": [1], "Aa": 2, "BB": 3}, 1],
            some(),
        ]
        made["l"] = random.choice([*lists, [some(), some(), some()], [None, some()]])
    if random.random() < 0.6:
        made["o"] = random.choice([{"k": some()}, {"o": {"k": some()}}, {}, None, "text", {"k": None}])
    if random.random() < 0.6:
        made["f"] = random.choice(NAMES)
    if random.random() < 0.3:
        made["d.e"] = some()
    if random.random() < 0.3:
        made["z"] = random.choice([None, 1, "text"])
    return made
