"""Documents under a final pipeline: what is judged, what is stored and what a strict reader makes of the text are the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_pipelines.engine import Bulk, unambiguous_json
from tests.properties.test_json import documents, dump, layouts

pieces = st.sampled_from(
    [
        "/**/",
        "// x\n",
        "\ufeff",
        "\\u0061",
        '"',
        "\\",
        ",",
        ":",
        "{",
        "}",
        " ",
        "\xa0",
        "\x00",
        '"a":1,',
        '{"a":1}',
        "null",
        "\\ud800",
    ]
)


def meaning(text: bytes) -> Any:
    """What a strict reader takes a text for. Raises ValueError."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) != len(pairs):
            raise ValueError("a key is there twice")
        return dict(pairs)

    return json.loads(text.decode(), object_pairs_hook=once)


@given(documents, layouts, st.integers(0, 200), st.integers(0, 3), pieces)
def test_a_changed_text_is_refused_or_has_one_meaning(document, layout, at, cut, piece):
    text = dump(document, layout)
    at = min(at, len(text))
    changed = text[:at] + piece.encode("utf-8", "surrogatepass") + text[at + cut :]
    try:
        plain = unambiguous_json(changed)
    except ValueError:
        return
    value = meaning(plain)
    assert unambiguous_json(plain) == plain
    json.dumps(value).encode()
    try:
        # Comments and byte order marks aside, both say the same.
        assert meaning(changed) == value
    except ValueError:
        assert plain != changed


@given(documents, documents, layouts)
def test_of_an_update_both_texts_come_back(doc, upsert, layout):
    members = {"doc": doc, "upsert": upsert, "doc_as_upsert": True}
    source = dump(members, {k: v for k, v in layout.items() if k != "indent"})
    bulk = Bulk(b'{"update":{"_id":"1"}}\n' + source + b"\n", index="i")
    bulk.settle(["i"])
    if bulk.outcome(0)[0] == "failed":
        with pytest.raises(ValueError, match="at byte"):
            unambiguous_json(source)
        return
    batch = bulk.batch_at(["i"])
    assert [json.loads(batch.document(i)) for i in range(2)] == [doc, upsert]
    bulk.absorb(batch, pinned="p")
    sent = bytes(bulk.render() or b"").split(b"\n")[1]
    assert json.loads(sent) == members
