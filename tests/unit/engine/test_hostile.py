"""What is made to hurt ends in time and takes a bounded memory: documents, definitions, and both together."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headrace_pipelines._wasm import Condition, Native
from headrace_pipelines.engine import Batch, Deadline

ROOT = Path(__file__).parents[3]
LIMIT_MS = 50
LATE_MS = 2_000
"""How much later a call may end here: machines of tests are busy. On an idle one it is 10."""
GROWTH_MB = 600
"""What one call may take for a document of two megabytes at most."""


def test_every_call_ends_in_time_and_memory():
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.hostile", str(LIMIT_MS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    calls = [json.loads(line) for line in done.stdout.splitlines()]
    ran = {label.split("[")[0] for label, *_ in calls}
    assert {name for name, _ in Native.functions()} <= {
        name.removeprefix("query ").removeprefix("result ") for name in ran
    }
    assert len(calls) > 3_000
    assert [call for call in calls if call[1] > LIMIT_MS + LATE_MS] == []
    assert [call for call in calls if call[2] > GROWTH_MB] == []


def refused(function: str, **parameters: object) -> str:
    with pytest.raises(ValueError, match=r"limit|deep|more than|too|circular") as raised:
        Native(function, "document", json.dumps(parameters).encode())
    return str(raised.value)


def test_definitions_that_expand_are_refused():
    doubled = {f"P{i}": f"%{{P{i + 1}}}%{{P{i + 1}}}" for i in range(40)} | {"P40": "a"}
    assert "more than 65536 characters" in refused("grok", field="f", patterns=["%{P0}"], pattern_definitions=doubled)
    circle = {"A": "x%{B}", "B": "y%{A}"}
    assert "circular reference in pattern [B][y%{A}]" in refused(
        "grok", field="f", patterns=["%{A}"], pattern_definitions=circle
    )
    refused("grok", field="f", patterns=["%{COMBINEDAPACHELOG}"] * 100)
    refused("gsub", field="f", pattern="(?:" * 300 + "a" + ")" * 300, replacement="")
    refused("gsub", field="f", pattern="(?U)" + "\\w" * 30_000, replacement="")
    refused("grok", field="f", patterns=["a" + "*" * 30_000])
    refused("grok", field="f", patterns=["(?u)" + "\\w" * 30_000])
    refused("gsub", field="f", pattern="a" * 70_000, replacement="")
    refused("dissect", field="f", pattern=" ".join(f"%{{k{i}}}" for i in range(1_000)))
    refused("set", field=".".join("a" * 200), value=1)


def test_long_expressions_of_one_kind_are_made_in_time():
    begun = time.monotonic()
    for pattern in (
        "(?:" + "(?:a|b)" * 8_000 + "){2}",
        "(?iu)" + "[a-z]" * 10_000,
        "(a)" * 16_000,
        "(?:a?){2}" * 5_000,
    ):
        Native("gsub", "document", json.dumps({"field": "f", "pattern": pattern, "replacement": ""}).encode())
    for pattern in ("(?<a>x)" * 8_000, "".join(f"(?<a{n}>x)\\g<a{n}>" for n in range(1_000)), "|" * 60_000):
        Native("grok", "document", json.dumps({"field": "f", "patterns": [pattern]}).encode())
    assert time.monotonic() - begun < 20


@pytest.mark.parametrize(
    "expression",
    [
        "[" + "1," * 900 + "1].exists(x, [" + "1," * 900 + "1].exists(y, x + y == 3))",
        "doc.f.matches('(\\\\w{1,500}){1,500}')",
        "[doc.f].map(x, " + " + ".join("x" * 12) + ").size() > 1",
    ],
)
def test_conditions_that_cost_too_much_are_refused(expression: str):
    with pytest.raises(ValueError, match=r"limit|cannot be matched"):
        Condition(expression, ["doc"], b"{}")


def outcome(function: str, text: bytes, **parameters: object) -> tuple[str, str]:
    batch = Batch.of("document", text)
    native = Native(function, "document", json.dumps(parameters).encode())
    batch.run_native(native, Deadline(5), abort=True, pipeline="p", stage="s")
    state, failure = batch.outcome(0)
    return state, failure[1] if failure else ""


def test_a_built_in_makes_no_document_that_is_too_long():
    long = json.dumps({"f": "a" * 1_000_000, "l": ["x"] * 10_000}).encode()
    too_long = ("failed", "document_limit_exception")
    assert outcome("gsub", long, field="f", pattern="a", replacement="b" * 100) == too_long
    assert outcome("join", long, field="l", separator="-" * 10_000) == too_long
    assert outcome("set", long, field="g", value=["{{f}}"] * 20) == too_long
    assert outcome("append", long, field="g", value=["{{f}}"] * 20) == too_long
    assert outcome("set", long, field="g", value="{{f}}")[0] == "live"
    # A document that is longer already may still be changed.
    longer = json.dumps({"f": "a" * 10_000_000}).encode()
    assert outcome("set", longer, field="g", value=1)[0] == "live"
