"""Conditions are CEL: the chapters of its conformance tests, for what docs/reference/pipelines.md says of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from headrace_pipelines._wasm import Condition
from headrace_pipelines.engine import Batch, Deadline

CASES = yaml.load((Path(__file__).parent / "cel_cases.yaml").read_text(), Loader=yaml.BaseLoader)
DOCUMENT = {
    "i": 7,
    "d": 2.5,
    "s": "text",
    "t": True,
    "n": None,
    "l": [1, 2, 3],
    "o": {"k": "v", "n": None, "o": {"x": 1}},
    "big": 18446744073709551615,
    "u": "é\U0001f600",
    "a.b": 5,
    "e": [],
    "in": 1,
}


def told(expression: str) -> str:
    """What the condition comes to: `yes`, `no`, `error` or `refused`."""
    try:
        condition = Condition(expression, ["doc", "document"], b"{}")
    except ValueError:
        return "refused"
    batch = Batch.of("document", json.dumps(DOCUMENT).encode(), index="i", id="1")
    batch.enter_if(condition, Deadline(10), abort=True, pipeline="p", stage="s")
    met = batch.live
    batch.leave()
    failure = batch.outcome(0)[1]
    return "error" if failure is not None else "yes" if met else "no"


@pytest.mark.parametrize("chapter", CASES)
def test_a_condition_comes_to_what_cel_says(chapter: str):
    different = [
        (expression, wanted, found)
        for wanted, expressions in CASES[chapter].items()
        for expression in expressions
        if (found := told(expression)) != wanted
    ]
    assert not different, "\n".join(map(str, different))


def test_the_table_is_read():
    assert sum(len(expressions) for kinds in CASES.values() for expressions in kinds.values()) > 250
