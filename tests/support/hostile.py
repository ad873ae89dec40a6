"""Documents and definitions that are made to hurt, and what each costs: `python -m tests.support.hostile [LIMIT_MS]`.

Runs every built-in and some conditions over documents of many kinds in this process, which is to be a process of its own
(`tests/unit/engine/test_hostile.py`), and prints a line of JSON for each: what, the milliseconds, and the megabytes that the
process has grown by.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from headrace_pipelines._wasm import Condition, Native
from headrace_pipelines.engine import Batch, Deadline, Step

MEMORY = 6 << 30
"""Bytes of address space that the process may have; threads and the engine take some of them without using them."""
AGENT = "Mozilla/5.0 (Linux; Android 9; SM-G960F Build/PPR1) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/74.0 "

VALUES: dict[str, Callable[[], Any]] = {
    "long text": lambda: "a" * 1_000_000,
    "long text that nearly matches": lambda: "a" * 30_000 + "!",
    "spaces": lambda: " " * 500_000,
    "separators": lambda: "," * 500_000,
    "csv of 20,000": lambda: ",".join(f"v{i}" for i in range(20_000)),
    "open quotes": lambda: 'a,"' * 100_000,
    "20,000 pairs": lambda: " ".join(f"k{i}=v{i}" for i in range(20_000)),
    "20,000 pairs with dots": lambda: " ".join(f"k{i}.a.b=v{i}" for i in range(20_000)),
    "20,000 pairs of one key": lambda: " ".join(f"k=v{i}" for i in range(20_000)),
    "a path of many parts": lambda: ".".join("a" * 50_000),
    "digits": lambda: "1" * 200_000,
    "escapes": lambda: "\x01" * 200_000,
    "emoji": lambda: "\U0001f600" * 200_000,
    "combining": lambda: "e\u0301" * 200_000,
    "capital letters that grow": lambda: "\u0130\ufb03" * 100_000,
    "percent": lambda: "%41" * 200_000,
    "broken percent": lambda: "%" * 200_000,
    "tags that do not end": lambda: "<a '" * 100_000 + ">",
    "scripts": lambda: "<script></script>" * 40_000,
    "scripts that do not end": lambda: "<script>" * 80_000,
    "comments": lambda: "<!--" * 100_000 + ">",
    "entities": lambda: "&amp;&#x41;&" * 50_000 + "<b>",
    "user agents": lambda: AGENT * 5_000,
    "a user agent that nearly matches": lambda: "Mozilla/" + "5" * 100_000 + " (" * 20_000,
    "log lines": lambda: '1.2.3.4 - - [01/Jan/2024:00:00:00 +0000] "GET /x HTTP/1.1" 200 5 ' * 3_000,
    "addresses": lambda: "::1:" * 50_000,
    "json, deep": lambda: "[" * 100_000,
    "json, wide": lambda: json.dumps({f"k{i}": i for i in range(30_000)}),
    "json, nested as far as may be": lambda: "[" * 120 + "1," * 100_000 + "1" + "]" * 120,
    "numbers": lambda: list(range(100_000)),
    "texts": lambda: [f"t{i}" for i in range(100_000)],
    "texts, all alike": lambda: ["a" * 10] * 100_000,
    "lists": lambda: [[1]] * 100_000,
    "objects": lambda: [{"a": "b", "_id": i} for i in range(50_000)],
    "long texts": lambda: ["a" * 20_000 + "!"] * 50,
    "many fields": lambda: {f"k{i}": f"v{i}" for i in range(20_000)},
    "long keys": lambda: {"k" * 40_000: {f"k{i}": {"x": i} for i in range(5_000)}},
}
"""Values of the field `f`, by what hurts about them."""


def repeated() -> bytes:
    """A document with one name many times."""
    return b'{"f":"x",' + b",".join(b'"k":%d' % i for i in range(20_000)) + b"}"


def documents() -> Iterator[tuple[str, bytes]]:
    """What they are made of, and their texts."""
    for name, make in VALUES.items():
        yield name, json.dumps({"f": make(), "g": "x"}).encode()
    yield "20,000 fields", json.dumps({"f": "x", **{f"k{i}": i for i in range(20_000)}}).encode()
    yield "20,000 fields of one name", repeated()
    yield "nesting", b'{"f":' + b"[" * 120 + b'"a"' + b"]" * 120 + b"}"


NESTED = [
    "(a+)+$",
    "(a|a)*$",
    "(.*a){12}",
    "(?=(a+))\\1+b",
    "(a*)*(a*)*!!",
    "(?:a?){200}a{200}",
    ".*.*.*=.*",
    "(?<!x)a+(?!y)z",
    "(?:(?:a?b?)*,?)*\\1(c)",
    "(?>(?:a|aa)+)+$!",
    "(?s)(?=(.*))\\1.*\\1!",
    "(?<=a{1,9000})(?<!b{1,9000})$!",
    "(?:a|(b|c)){2,9000}+(?!.)",
]
FIELD = {"field": "f"}
DEFINITIONS: dict[str, list[dict[str, Any]]] = {
    "set": [{"field": "x", "value": ["{{f}}"] * 200}, {"field": "{{f}}", "value": 1}, {"field": "f.k", "value": 2}],
    "remove": [{"field": "k"}, {"exclude_field": ["f"]}, {"field": "f"}],
    "rename": [{"field": "f", "target_field": "h"}, {"field": "f", "target_field": "{{f}}"}],
    "copy": [{"source_field": "f", "target_field": "h"}, {"source_field": "f", "target_field": "{{f}}"}],
    "convert": [{**FIELD, "type": kind} for kind in ("integer", "double", "auto", "ip", "string")],
    "lowercase": [FIELD],
    "uppercase": [FIELD],
    "trim": [FIELD],
    "split": [{**FIELD, "separator": pattern} for pattern in [",", "", "\\s+", *NESTED]],
    "join": [{**FIELD, "separator": "-" * 10_000}],
    "gsub": [
        *({**FIELD, "pattern": pattern, "replacement": "x"} for pattern in ["", *NESTED]),
        {**FIELD, "pattern": "a", "replacement": "$0" * 1_000},
    ],
    "append": [
        {"field": "f", "value": ["{{f}}"] * 50},
        {"field": "f", "value": list("abc"), "allow_duplicates": False},
    ],
    "date": [
        {**FIELD, "formats": ["ISO8601", "UNIX", "TAI64N", *["yyyy-MM-dd'T'HH:mm:ss.SSSXXX", "EEEE MMMM d y"] * 200]},
        {**FIELD, "formats": ["[z][VV][zzzz][XXX][yyyy]" * 100, "||".join(["strict_date_time", "epoch_millis"] * 100)]},
        {**FIELD, "formats": ["zzzz"] * 50, "locale": "{{f}}", "timezone": "{{f}}"},
    ],
    "json": [FIELD, {**FIELD, "add_to_root": True}],
    "kv": [
        {**FIELD, "field_split": " ", "value_split": "="},
        {**FIELD, "field_split": "", "value_split": ""},
        {**FIELD, "field_split": " ", "value_split": "=", "target_field": "t.u", "prefix": "p" * 1_000},
        {**FIELD, "field_split": "(a+)+,", "value_split": "(a|a)*="},
    ],
    "dissect": [
        {**FIELD, "pattern": "%{a},%{b->},%{*c}=%{&c}"},
        {**FIELD, "pattern": " ".join(["%{+a}"] * 400), "append_separator": "x" * 1_000},
        {**FIELD, "pattern": "".join(f"%{{k{i}}}a" for i in range(400))},
    ],
    "grok": [
        {**FIELD, "patterns": patterns}
        for patterns in (
            ["%{COMBINEDAPACHELOG}"],
            ["%{IPV6:a} %{GREEDYDATA:b} %{IPV6:c}", "%{DATA:a}=%{DATA:b}=%{DATA:c}=!"],
            ["(?<a>(x+x+)+y)", "(?:a+)+$"],
            ["%{GREEDYDATA:a}%{GREEDYDATA:b}%{GREEDYDATA:c}%{GREEDYDATA:d}!!"],
            ["%{NUMBER:a:int}"] * 50,
            ["(?<p>a\\g<p>?b?)+!"],
            ["(?m)(?~(?:a+)+b).*!", "(?<w>.)(?:\\k<w>+)*!"],
            ["^(?:(?<x>a)|(?<x>aa))*\\k<x>$!"],
        )
    ],
    "csv": [
        {**FIELD, "target_fields": [f"c{i}" for i in range(20_000)]},
        {**FIELD, "target_fields": [f"c.d{i}" for i in range(20_000)]},
    ],
    "html_strip": [FIELD],
    "bytes": [FIELD],
    "urldecode": [FIELD],
    "fingerprint": [{}, {"exclude_fields": [f"k{i}" for i in range(5_000)]}, {"fields": ["f"]}],
    "dot_expander": [{"field": "f.k"}, {"field": ".".join("abcdefgh" * 10)}],
    "sort": [FIELD, {**FIELD, "order": "desc"}],
    "drop": [{}],
    "fail": [{"message": "{{f}}" * 100}],
    "foreach": [
        {**FIELD, "processor": {"uppercase": {"field": "_ingest._value"}}},
        {**FIELD, "processor": {"set": {"field": "x{{_ingest._value}}", "value": "{{f}}"}}},
        {**FIELD, "processor": {"gsub": {"field": "_ingest._value", "pattern": "(a+)+$", "replacement": "x"}}},
        {**FIELD, "processor": {"kv": {"field": "_ingest._value", "field_split": " ", "value_split": "="}}},
        {
            **FIELD,
            "processor": {"fail": {"message": "x", "on_failure": [{"set": {"field": "t", "value": "{{f}}"}}] * 200}},
        },
    ],
    "user_agent": [FIELD],
    "fit_mapping": [
        {},
        {"mapping": {"properties": {"f": {"type": "long"}, "k": {"type": "flat_object"}}}},
        {"mapping": {"properties": {"f": {"properties": {"a": {"type": "date"}}}}}, "object_for_scalar": "move"},
        {"mapping": {"dynamic": "false"}, "unknown_fields": "move"},
    ],
    "redact": [
        {},
        {"keys": True, "action": "token", "secret": "s", "report": "t", "report_fields": True},
        {
            "deny": [f"k{i}" for i in range(256)],
            "allow": [f"v{i}" for i in range(256)],
            "action": "hash",
            "secret": "s",
        },
    ],
}
OF_SEARCHES: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "filter_query": ("query", [{"query": {"term": {"a": "b"}}}]),
    "oversample": ("query", [{"sample_factor": 2}]),
    "synonym": ("query", [{"synonyms": ["a, b, c", *(f"k{i}, v{i}" for i in range(500))]}]),
    "rename_field": ("result", [{"field": "f", "target_field": "h"}]),
    "truncate_hits": ("result", [{"target_size": 1}]),
    "sort": ("result", [FIELD]),
    "collapse": ("result", [FIELD]),
    "split": ("result", [{**FIELD, "separator": "(a+)+$"}]),
    "mask": (
        "result",
        [{"fields": ["f", "f.a", "k"], "mode": mode, "salt": "s"} for mode in ("redact", "partial", "hash")],
    ),
    "rescore": ("result", [{**FIELD, "missing": 1}]),
}
CONDITIONS = [
    "doc.f.exists(x, doc.f.exists(y, x == y && x != 'a'))",
    "doc.f.map(x, x).map(x, x).size() > 3",
    "doc.f.all(x, doc.f.map(y, string(y) + string(x)).size() >= 0)",
    "doc.f.matches('^(a+)+$')",
    "doc.f.matches(doc.f)",
    "(doc.f + doc.f + doc.f + doc.f).contains('b')",
    "[doc.f].map(a, a + a).map(a, a + a + a).size() > 5",
    "doc.f == doc.f && doc.f in [doc.g]",
    "doc.f.filter(k, k.startsWith('k')).exists(k, k in doc.f)",
]


def native_calls() -> Iterator[tuple[str, Batch, Any]]:
    """Every built-in with every document."""
    for made, text in documents():
        for function, all_parameters in DEFINITIONS.items():
            for n, parameters in enumerate(all_parameters):
                native = Native(function, "document", json.dumps(parameters).encode())
                yield f"{function}[{n}] of {made}", Batch.of("document", text, index="i", id="1"), native
        query = b'{"query":{"bool":{"must":[{"match":' + text + b'},{"terms":' + text + b"}]}}}"
        hit = b'{"_index":"i","_id":"1","_score":1.0,"_source":' + text + b"}"
        response = b'{"hits":{"total":{"value":2},"max_score":1.0,"hits":[' + hit + b"," + hit + b"]}}"
        for function, (kind, all_parameters) in OF_SEARCHES.items():
            for n, parameters in enumerate(all_parameters):
                native = Native(function, kind, json.dumps(parameters).encode())
                yield (
                    f"{kind} {function}[{n}] of {made}",
                    Batch.of(kind, query if kind == "query" else response),
                    native,
                )


def condition_calls() -> Iterator[tuple[str, Batch, Any]]:
    """Every condition with every document."""
    for made, text in documents():
        for expression in CONDITIONS:
            yield f"{expression} of {made}", Batch.of("document", text), Condition(expression, ["doc"], b"{}")


def run(batch: Batch, what: Native | Condition, seconds: float) -> float:
    """Milliseconds that the stage takes, which may take so many seconds."""
    if isinstance(what, Condition):
        steps = [Step.native("s", Native("drop", "document", b"{}"), condition=what)]
        begun = time.perf_counter()
        batch.run_steps(steps, Deadline(), closed=True, pipeline="p", timeout=seconds)
    else:
        batch = batch.hits(everywhere=True) if what.per_hit else batch
        begun = time.perf_counter()
        batch.run_native(what, Deadline(), abort=True, pipeline="p", stage="s", timeout=seconds)
    return (time.perf_counter() - begun) * 1000


def megabytes() -> float:
    """The most that the process had since its mark was taken back."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def main() -> None:
    """Runs all of them."""
    seconds = (float(sys.argv[1]) if len(sys.argv) > 1 else 50) / 1000
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for calls in (native_calls, condition_calls):
        for label, batch, what in calls():
            batch.check("p")
            Path("/proc/self/clear_refs").write_text("5")
            before = megabytes()
            taken = run(batch, what, seconds)
            print(json.dumps([label, round(taken, 2), round(megabytes() - before, 1)]), flush=True)


if __name__ == "__main__":
    main()
