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
NAMES = ["a", "t", "o.k", "_id", "_routing", "_source.a", "", "a.", "é", 'q"', 5, None, ["a"], "l.0", "_index"]
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
    "dissect": ["1 - x [y]", "a b c", "a=1 b:2", "a=1 a:2", "m=1 m:2", "=1 b:2", "  a", "a1b", "1,,3", "x"],
    "kv": ["a=1&b=2", "a=1&a=2&c=", "x", "k=(v)", "=v", "_id=5", "a.b=1", ""],
    "user_agent": ["curl/8.5.0", "Wget/1.21", "Googlebot/2.1 (+http://www.google.com/bot.html)", "x", "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0"],
}  # fmt: skip
FLAGS = [None, None, True, False]
VALUES: list[Any] = [
    1, 1.0, True, None, "", "x", "{{a}}", "{{{a}}}|{{&a}}", "{{l}} {{l.size}} {{o.k}} {{d.e}}", ["{{a}}", {"k{{f}}": "{{a}}"}], {"a": 1, "b": [1]}, {"b": [1], "a": 1},
    [], ["x", "x"], [1, 1.0, "1"], "{{no}}", "{{_id}}/{{_index}}", "_id", "}} {{a}} {", {"_id": "_id"},
]  # fmt: skip
OPTIONS: dict[str, dict[str, list[Any]]] = {
    "set": {"field": [*TEMPLATED, *TARGETS], "value": VALUES, "override": FLAGS, "ignore_empty_value": FLAGS},
    "append": {"field": [*TEMPLATED, "l", "l"], "value": VALUES, "allow_duplicates": FLAGS},
    "remove": {"field": [*TEMPLATED, ["a", "{{f}}"], [], ""], "ignore_missing": FLAGS},
    "rename": {"field": TEMPLATED, "target_field": [*TARGETS, "{{f}}"], "ignore_missing": FLAGS, "override_target": FLAGS},
    "copy": {"source_field": TEMPLATED, "target_field": [*TARGETS, "{{f}}"], "ignore_missing": FLAGS, "override_target": FLAGS, "remove_source": FLAGS},
    "convert": {"field": FIELDS, "type": ["integer", "long", "float", "double", "boolean", "string", "auto", "ip"], "target_field": [None, None, *TARGETS], "ignore_missing": FLAGS},
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
            "%{*k} %{y}", "%{_id} %{y}", "100% %{x}", "%{x},%{y},%{z}", "%{}",
        ],
    },
    "kv": {"field": TEMPLATED, "field_split": ["&"], "value_split": ["="], "target_field": [None, "t", "{{f}}", "o"], "include_keys": [None, None, ["a"], []], "exclude_keys": [None, ["a"]], "prefix": [None, "p_"], "ignore_missing": FLAGS},
    "fingerprint": {
        "fields": [None, ["a"], ["l", "a", "a"], ["o"], ["_id"], ["_id", "a"], ["no"], ["o.k"], []], "exclude_fields": [None, None, ["a"], ["_id"]], "target_field": [None, "t", "_id"],
        "hash_method": [None, "MD5@2.16.0", "sha-256@2.16.0", "SHA3-256@2.16.0"], "ignore_missing": FLAGS,
    },
    "user_agent": {"field": FIELDS, "target_field": [None, "t"], "properties": [None, ["name", "OS"], ["os_name", "major"], []], "ecs": FLAGS, "ignore_missing": FLAGS},
    "fail": {"message": ["no {{a}}", "{{{o}}}", "x"]},
}  # fmt: skip


def options(random: Random, function: str) -> dict[str, Any]:
    """Options of the function: of each a value that it may have, or none."""
    drawn = {name: random.choice(values) for name, values in OPTIONS[function].items()}
    return {name: value for name, value in drawn.items() if value is not None or name == "value"}


def document(random: Random, function: str) -> dict[str, Any]:
    """A document whose fields are there or not, of the type that a processor wants or of another."""
    texts = [*TEXTS.get(function, PLAIN), *random.sample(PLAIN, 3)]
    some = lambda: random.choice(texts)  # noqa: E731
    made: dict[str, Any] = {}
    if random.random() < 0.9:
        made["a"] = some()
    if random.random() < 0.7:
        made["l"] = random.choice([[], ["x"], [some()], [some(), {"k": some()}], [{"a": 1, "b": [1]}, 1], some()])
    if random.random() < 0.6:
        made["o"] = random.choice([{"k": some()}, {"o": {"k": some()}}, {}, None, "text", {"k": None}])
    if random.random() < 0.6:
        made["f"] = random.choice(NAMES)
    if random.random() < 0.3:
        made["d.e"] = some()
    if random.random() < 0.3:
        made["z"] = random.choice([None, 1, "text"])
    return made
