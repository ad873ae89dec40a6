from __future__ import annotations

import pytest

from headrace.protocol.index_settings import (
    Form,
    add_slots,
    extract_from_create,
    extract_from_template,
    extract_from_update,
)
from headrace_pipelines.definition import PipelineType
from headrace_pipelines.errors import InvalidError
from headrace_pipelines.registry.association import Association, Slot, Slots

DOCUMENT, QUERY = PipelineType.DOCUMENT, PipelineType.QUERY


def test_ours_are_taken_out_and_the_rest_keeps_its_text():
    body = b'{"settings":{"index":{"number_of_shards":1,"x":0.10,"document":{"default_pipeline":"p"}}},"mappings":{}}'
    rest, found = extract_from_create(body)
    assert rest == b'{"settings":{"index":{"number_of_shards":1,"x":0.10}},"mappings":{}}'
    assert found == {Slot(DOCUMENT): "p"}


def test_a_body_without_ours_is_not_touched():
    body = b'{ "settings" : {"index":{"query":{"default_field":"x"}}} }'
    assert extract_from_create(body) == (body, {})
    assert extract_from_update(b"{}") == (b"{}", {})


def test_null_clears_and_none_says_none():
    body = (
        b'{"index.query.default_pipeline":null,"index":{"document":{"default_pipeline":"_none","final_pipeline":"f"}}}'
    )
    _, found = extract_from_update(body)
    assert found == {Slot(QUERY): None, Slot(DOCUMENT): "_none", Slot(DOCUMENT, final=True): "f"}


def test_settings_of_templates():
    body = b'{"index_patterns":["a*"],"template":{"settings":{"index.query.default_pipeline":"q","x":1}}}'
    rest, found = extract_from_template(body, legacy=False)
    assert rest == b'{"index_patterns":["a*"],"template":{"settings":{"x":1}}}'
    assert found == {Slot(QUERY): "q"}
    rest, found = extract_from_template(b'{"settings":{"index.query.final_pipeline":"q"}}', legacy=True)
    assert (rest, found) == (b'{"settings":{}}', {Slot(QUERY, final=True): "q"})
    plain = b'{ "template": {"settings":{"x":1}} }'
    assert extract_from_template(plain, legacy=False) == (plain, {})


@pytest.mark.parametrize("value", ["5", "[]", "{}", "true"])
def test_a_name_must_be_a_string(value):
    with pytest.raises(InvalidError, match="must be the name of a pipeline"):
        extract_from_update(b'{"index.query.default_pipeline":%s}' % value.encode())


def test_settings_are_put_back():
    def answer(form: Form) -> dict:
        shown = {"a": {"settings": {"index": {"uuid": "u"}}}, "b": {"settings": {"index": {}}}}
        add_slots(shown, lambda name: bound.get(name, Slots()), form)
        return shown

    bound = {"a": Association(index="a", document="p", query="q")}
    shown = answer(Form())
    assert shown["a"]["settings"]["index"] == {
        "uuid": "u",
        "query": {"default_pipeline": "q"},
        "document": {"default_pipeline": "p"},
    }
    assert shown["b"] == {"settings": {"index": {}}}
    flat = answer(Form(flat=True, pattern="index.query.*"))
    assert flat["a"]["settings"]["index.query.default_pipeline"] == "q"
    assert "index.document.default_pipeline" not in flat["a"]["settings"]
    assert answer(Form(pattern="_all"))["a"] == shown["a"]
    defaults = answer(Form(flat=True, pattern="index.query.*", defaults=True))
    assert defaults["a"]["defaults"] == {"index.query.final_pipeline": "_none"}
    assert answer(Form(pattern="index.query.final*", defaults=True))["b"]["defaults"] == {
        "index": {"query": {"final_pipeline": "_none"}}
    }
