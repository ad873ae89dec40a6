"""`redact` on drawn lines: what it finds, and what it leaves."""

from __future__ import annotations

import json
from typing import Any

from headrace_pipelines import Pipelines
from tests.support.personal_data import Line, lines

COUNT = 20_000
"""Lines of the gate; `python -m tests.unit.engine.test_redact` takes 100,000 of several seeds."""
PRECISION, RECALL = 0.999, 0.99


def found(drawn: list[Line], **parameters: Any) -> list[list[tuple[str, str]]]:
    """What is found in each line: detector and text."""
    stage = {
        "name": "r",
        "type": "native",
        "config": {"function": "redact", "parameters": {"mask": "\x00{type}\x01", **parameters}},
    }
    pipelines = Pipelines.load({"p": {"type": "document", "stages": [stage]}})
    hidden = pipelines.run("p", [{line.key: line.text} for line in drawn]).documents
    return [_differences(line.text, doc[line.key]) for line, doc in zip(drawn, hidden, strict=True)]


def _differences(text: str, hidden: str) -> list[tuple[str, str]]:
    """The texts that masks stand for: what lies between the parts that are left."""
    parts = hidden.split("\x00")
    place, result = len(parts[0]), []
    for part in parts[1:]:
        name, _, rest = part.partition("\x01")
        end = text.index(rest, place + 1) if rest else len(text)
        result.append((name, text[place:end]))
        place = end + len(rest)
    return result


def score(seed: int, count: int) -> tuple[float, float]:
    """Precision and recall over drawn lines."""
    drawn = lines(seed, count)
    right = wrong = missed = 0
    for line, present in zip(drawn, found(drawn), strict=True):
        expected = list(line.found)
        for finding in present:
            if finding in expected:
                expected.remove(finding)
                right += 1
            else:
                wrong += 1
        missed += len(expected)
    assert right > count / 3
    return right / (right + wrong), right / (right + missed)


def test_what_is_found_is_personal_and_little_is_missed():
    precision, recall = score(11, COUNT)
    assert precision >= PRECISION
    assert recall >= RECALL


def test_what_is_hidden_is_gone():
    drawn = [line for line in lines(12, 2_000) if line.found]
    stage = {"name": "r", "type": "native", "config": {"function": "redact", "parameters": {"report": "found"}}}
    pipelines = Pipelines.load({"p": {"type": "document", "stages": [stage]}})
    documents = pipelines.run("p", [{line.key: line.text} for line in drawn]).documents
    whole = 0
    for line, document in zip(drawn, documents, strict=True):
        if sum(document.get("found", {}).values()) == len(line.found):
            whole += 1
            assert not any(text in json.dumps(document, ensure_ascii=False) for _, text in line.found)
    assert whole > len(drawn) * 0.9


if __name__ == "__main__":
    for seed in range(5):
        print(seed, *score(seed, 100_000))
