"""Dead letters of pipelines and patterns: what may be said, and which of them count."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from headrace_pipelines.definition import DeadLetters, PipelineType, parse
from headrace_pipelines.errors import InvalidError
from headrace_pipelines.registry import Snapshot, schemas
from headrace_pipelines.registry.association import Associations, Pattern, Slots, pattern_of
from headrace_pipelines.registry.records import Records

PIPELINE = b'{"type":"%b","dead_letters":%b,"stages":[{"name":"d","type":"native","config":{"function":"drop"}}]}'
ASSOCIATIONS = Draft202012Validator(schemas.associations())


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"stream": ".headrace-registry"}, "dead_letters.stream"),
        ({"stream": "a,b"}, "dead_letters.stream"),
        ({"stream": ""}, "dead_letters.stream"),
        ({"streem": "a"}, "dead_letters.streem"),
        ({"on": ["mappings"]}, "dead_letters.on[0]"),
        ({"answer": "ok"}, "dead_letters.answer"),
        (True, "dead_letters"),
    ],
)
def test_a_fault_is_named(body: Any, field: str):
    with pytest.raises(InvalidError) as found:
        pattern_of("a-*", {"dead_letters": body})
    assert found.value.field == field
    assert not ASSOCIATIONS.is_valid({"a-*": {"dead_letters": body}})


@pytest.mark.parametrize("body", [{}, {"on": []}, {"stream": "a-b", "on": ["mapping"], "answer": "accepted"}])
def test_a_pattern_may_have_dead_letters_alone(body: dict[str, Any]):
    pattern = pattern_of("a-*", {"dead_letters": body, "priority": 3})
    assert pattern.body == {"priority": 3, "dead_letters": body}
    assert ASSOCIATIONS.is_valid({"a-*": {"dead_letters": body}})


def test_only_document_pipelines_have_dead_letters():
    assert parse(PIPELINE % (b"document", b"{}"), "p").dead_letters == DeadLetters()
    assert parse(PIPELINE % (b"query", b"null"), "p").dead_letters is None
    with pytest.raises(InvalidError) as found:
        parse(PIPELINE % (b"query", b"{}"), "p")
    assert found.value.field == "dead_letters"


def test_the_pattern_of_the_highest_priority_that_has_any_counts():
    patterns = [
        Pattern(pattern="*", dead_letters=DeadLetters(stream="all")),
        Pattern(pattern="a-*", priority=5, document="p"),
        Pattern(pattern="a-b*", priority=4, dead_letters=DeadLetters(on=())),
    ]
    found = Associations.of([], patterns, [], Slots())
    assert found.dead_letters("a-x") == DeadLetters(stream="all")
    assert found.dead_letters("a-bc") == DeadLetters(on=())
    assert found.dead_letters(".hidden") is None


def test_patterns_with_dead_letters_concern_documents():
    assert PipelineType.DOCUMENT not in Snapshot().types
    snapshot = Snapshot(Records(patterns=[Pattern(pattern="a", dead_letters=DeadLetters())]))
    assert snapshot.has_dead_letters
    assert PipelineType.DOCUMENT in snapshot.types
