"""The byte-splicing JSON functions against a slow, obvious reference: json and dicts."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from headrace_pipelines._wasm import Native
from headrace_pipelines.engine import Batch, Bulk, Deadline, check_object, filter_path

METADATA = {
    "_index",
    "_id",
    "_routing",
    "_version",
    "_version_type",
    "_if_seq_no",
    "_if_primary_term",
    "_ingest",
    "_source",
}
"""Names that no document of the cluster has at its top."""
keys = st.text(min_size=1, max_size=6).filter(lambda s: not any(c in s for c in ".[]{}") and s.strip() == s)
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
)
values = st.recursive(scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(keys, v, max_size=3), max_leaves=12)
documents = st.dictionaries(keys.filter(lambda k: k not in METADATA), values, max_size=5)
layouts = st.sampled_from([{}, {"indent": 2}, {"separators": (",", ":")}, {"ensure_ascii": False}])


def run(function: str, parameters: dict[str, Any], text: bytes) -> tuple[str, Any]:
    batch = Batch.of("document", text)
    native = Native(function, "document", json.dumps(parameters).encode())
    batch.run_native(native, Deadline(), abort=True, pipeline="", stage="")
    state, failure = batch.outcome(0)
    return (state, failure[2]) if failure else (state, json.loads(batch.document(0)))


def dump(value: Any, layout: dict[str, Any]) -> bytes:
    return json.dumps(value, **layout).encode("utf-8", "surrogatepass")


@given(documents, keys.filter(lambda k: k not in METADATA), values.filter(lambda v: v is not None), layouts)
def test_set_at_the_top(document, key, value, layout):
    if "{{" in json.dumps(value):
        return
    state, got = run("set", {"field": key, "value": value}, dump(document, layout))
    assert state == "live"
    assert got == {**document, key: value}
    assert list(got) == list({**document, key: value})


@given(documents, st.lists(keys.filter(lambda k: k not in METADATA), min_size=1, max_size=3), layouts)
def test_set_at_a_path(document, path, layout):
    state, got = run("set", {"field": ".".join(path), "value": 7}, dump(document, layout))
    expected: Any = copy.deepcopy(document)
    here = expected
    for part in path[:-1]:
        if isinstance(here, list):
            here = here[int(part)] if part.isascii() and part.isdigit() and int(part) < len(here) else None
        elif isinstance(here, dict):
            here = here.setdefault(part, {})
        if not isinstance(here, (dict, list)):
            assert state == "failed"
            return
    if isinstance(here, list):
        return
    here[path[-1]] = 7
    assert (state, got) == ("live", expected)


@given(documents, st.data(), layouts)
def test_remove_at_the_top(document, data, layout):
    choices = [k for k in document if k not in METADATA]
    if not choices:
        return
    key = data.draw(st.sampled_from(choices))
    state, got = run("remove", {"field": key}, dump(document, layout))
    assert state == "live"
    assert got == {k: v for k, v in document.items() if k != key}


@given(st.binary(max_size=60) | documents.map(lambda d: json.dumps(d).encode()))
def test_check_agrees_with_json(text):
    try:
        good = isinstance(json.loads(text.decode("utf-8"), parse_constant=lambda _: 1 / 0), dict)
    except (ValueError, ZeroDivisionError, RecursionError):
        good = False
    assert (check_object(text) is None) == good


@given(
    st.lists(documents, max_size=6),
    layouts.filter(lambda layout: "indent" not in layout),
    st.sampled_from([b"\n", b"\r\n"]),
)
def test_a_bulk_gives_its_documents_back(batch, layout, end):
    lines = [part for d in batch for part in (b'{"index":{"_index":"i"}}', dump(d, layout))]
    body = b"".join(line + end for line in lines)
    if not body:
        return
    bulk = Bulk(body)
    documents_ = bulk.batch([0])
    assert [json.loads(documents_.document(i)) for i in range(len(documents_))] == batch
    bulk.absorb(documents_)
    assert bulk.render() is None


def reduced(value: Any, patterns: list[list[str]]) -> Any:
    """`filter_path` over dicts, by trying every pattern at every place."""
    if any(not p for p in patterns):
        return value
    if isinstance(value, list):
        kept = [r for v in value if (r := reduced(v, patterns)) is not None]
        return kept or None
    if not isinstance(value, dict):
        return None
    out = {}
    for key, inner in value.items():
        rest = [p[1:] for p in patterns if p[0] in (key, "*")]
        if rest and (kept := reduced(inner, rest)) is not None:
            out[key] = kept
    return out or None


small = st.recursive(
    st.integers(),
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.sampled_from("abc"), v, max_size=3),
    max_leaves=10,
)


@given(
    st.dictionaries(st.sampled_from("abc"), small, max_size=3),
    st.lists(st.lists(st.sampled_from(["a", "b", "c", "*"]), min_size=1, max_size=3), min_size=1, max_size=3),
)
def test_filter_path_agrees_with_the_reference(document, patterns):
    got = json.loads(filter_path(json.dumps(document).encode(), [".".join(p) for p in patterns]))
    expected = reduced(document, patterns) or {}
    assert prune(got) == prune(expected)


def prune(value: Any) -> Any:
    """Empty containers under a path that was asked for by a longer pattern may stay or go."""
    if isinstance(value, dict):
        return {k: p for k, v in value.items() if (p := prune(v)) not in ({}, [])}
    if isinstance(value, list):
        return [p for v in value if (p := prune(v)) not in ({}, [])]
    return value
