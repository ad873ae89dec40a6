"""`mask` over generated spellings of a document's fields, against a model: every path of the document, part by part."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from headrace_pipelines._wasm import Native
from headrace_pipelines.engine import Batch, Deadline

STARS = "****"
parts = st.sampled_from(["a", "b", "c", "ab"])
keys = st.lists(st.sampled_from(["a", "b", "c", "ab", ""]), min_size=1, max_size=4).map(".".join)
"""Keys with dots anywhere, so that objects, dotted keys and their mixtures spell the same few fields."""
values = st.recursive(
    st.integers(0, 9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=16,
)
documents = st.dictionaries(keys, values, max_size=5)
names = st.lists(st.lists(parts, min_size=1, max_size=3).map(".".join), min_size=1, max_size=3)
layouts = st.sampled_from([{}, {"indent": 2}, {"separators": (",", ":")}])


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value that is no object and no list, with its path as OpenSearch takes it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, path + tuple(part for part in key.split(".") if part))
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, path)
    else:
        yield path, value


def is_hidden(path: tuple[str, ...], masked: list[str]) -> bool:
    return any(path[: len(name.split("."))] == tuple(name.split(".")) for name in masked)


def through(document: dict[str, Any], masked: list[str], mode: str, layout: dict[str, Any]) -> dict[str, Any]:
    """The document, as `_source` and under `fields` of a hit behind the mask."""
    hit = {"_id": "1", "fields": document, "_source": document}
    batch = Batch.of("result", json.dumps({"hits": {"hits": [hit]}}, **layout).encode())
    hits = batch.hits(everywhere=True)
    native = Native("mask", "result", json.dumps({"fields": masked, "mode": mode}).encode())
    hits.run_native(native, Deadline(), abort=True, pipeline="", stage="")
    batch.absorb_hits(hits, everywhere=True)
    shown = json.loads(batch.document(0))["hits"]["hits"][0]
    assert shown["fields"] == shown["_source"]
    return shown["_source"]


@given(documents, names, layouts)
@example({"card.num": 1}, ["card"], {})
@example({"secret.": 1}, ["secret"], {})
@example({"a.b": {"c": 1}, "a": {"b.c": 2}}, ["a.b.c"], {})
def test_shows_what_is_not_masked_and_nothing_else(document, masked, layout):
    wanted = [leaf for leaf in leaves(document) if not is_hidden(leaf[0], masked)]
    redacted = list(leaves(through(document, masked, "redact", layout)))
    assert [leaf for leaf in redacted if leaf[1] != STARS] == wanted
    assert all(is_hidden(path, masked) for path, value in redacted if value == STARS)
    assert list(leaves(through(document, masked, "remove", layout))) == wanted
