"""Shares of keys: the same everywhere, growing with the percentage alone, and splits that change nothing of a bulk."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_pipelines import Batch, Bulk, Deadline, execute
from headrace_pipelines.engine import KeyShare
from tests.conftest import native, ndjson
from tests.unit.headrace_pipelines.executor.test_executor import compiled

if TYPE_CHECKING:
    from collections.abc import Iterable

SEED = "000102030405060708090a0b0c0d0e0f"
IDS = st.one_of(st.text(max_size=12), st.integers(0, 50).map(str))
PERCENT = st.floats(0, 100)


def bulk(ids: Iterable[str | None]) -> Bulk:
    lines: list[Any] = []
    for n, id_ in enumerate(ids):
        meta = {"_index": "i"} | ({"_id": id_} if id_ is not None else {})
        lines += [{"index": meta}, {"n": n, "bad": "x"} if n % 3 == 0 else {"n": n}]
    return Bulk(ndjson(*lines))


def ids_of(batch: Batch) -> set[str | None]:
    return {batch.metadata(i)[1] for i in range(len(batch))}


def test_a_share_is_the_same_on_every_machine():
    # The first test vector of SipHash 1-3, whose key is the bytes 0 to 15.
    vector = 0xABAC0158050FC4DC
    assert KeyShare("07060504030201000f0e0d0c0b0a0908").of("") == 100 * (vector >> 11) / (1 << 53)
    share = KeyShare(SEED)
    assert [share.of("a") == KeyShare(SEED).of("a"), share.of("a") == KeyShare(SEED[::-1]).of("a")] == [True, False]


def test_shares_are_spread_evenly_and_apart_for_each_seed():
    one, two = KeyShare(secrets.token_hex(16)), KeyShare(secrets.token_hex(16))
    keys = [f"k{n}" for n in range(20_000)]
    first = {key for key in keys if one.of(key) < 10}
    both = {key for key in first if two.of(key) < 10}
    assert 1_700 < len(first) < 2_300
    assert 120 < len(both) < 290


@given(ids=st.lists(IDS, min_size=1, max_size=40), percents=st.tuples(PERCENT, PERCENT))
def test_a_key_never_goes_back_and_never_meets_two_versions(ids: list[str], percents: tuple[float, float]):
    share, seen = KeyShare(SEED), []
    for percent in sorted(percents):
        rest = bulk(ids).batch([0])
        candidate, control = rest.split(share, percent, min(2 * percent, 100.0))
        assert ids_of(candidate) == {id_ for id_ in ids if share.of(id_) < percent}
        assert ids_of(candidate) | ids_of(control) | ids_of(rest) == set(ids)
        assert not ids_of(candidate) & (ids_of(control) | ids_of(rest))
        assert len(candidate) + len(control) + len(rest) == len(ids)
        seen.append(ids_of(candidate))
    assert seen[0] <= seen[1]


@given(ids=st.lists(st.none() | IDS, min_size=1, max_size=40), percent=PERCENT)
def test_two_parts_of_one_version_are_the_whole(ids: list[str | None], percent: float):
    stages = [
        native("set", "set", field="v", value="x"),
        native("n", "convert", field="bad", type="long", ignore_missing=True),
    ]
    whole, split = bulk(ids), bulk(ids)
    batch = whole.batch([0])
    execute(compiled(*stages), batch, Deadline(30.0))
    whole.absorb(batch)
    rest = split.batch([0])
    parts = rest.split(KeyShare(SEED), percent, 100.0)
    for part in (*parts, rest):
        execute(compiled(*stages), part, Deadline(30.0))
    for part in parts:
        rest.join(part)
        assert len(part) == 0
    split.absorb(rest)
    assert whole.counts() == split.counts()
    assert bytes(whole.render() or b"") == bytes(split.render() or b"")
    assert whole.merge(None, 1) == split.merge(None, 1) if whole.counts()[0] == 0 else True


def test_what_failed_goes_to_the_other_version_alone():
    parsed = bulk([f"k{n}" for n in range(9)])
    batch = parsed.batch([0])
    execute(compiled(native("n", "convert", field="bad", type="long", ignore_missing=True)), batch, Deadline(30.0))
    failed = set(batch.remove_failed())
    assert failed == {0, 3, 6}
    again = parsed.batch([0])
    again.keep(failed)
    assert ids_of(again) == {"k0", "k3", "k6"}
    batch.join(again)
    parsed.absorb(batch)
    assert parsed.counts() == (9, 0, 0)


@pytest.mark.parametrize(
    ("key", "document", "expected"),
    [
        ("doc.tenant", {"tenant": "a"}, "a"),
        ("doc.n", {"n": 5}, "5"),
        ("doc.flag", {"flag": True}, "true"),
        ("doc.a + '/' + ctx.id", {"a": "x"}, "x/1"),
        ("doc.tenant", {}, None),
        ("doc.tenant", {"tenant": ["a"]}, None),
        ("doc.a + doc.b", {"a": "x"}, None),
    ],
)
def test_an_expression_gives_the_key_or_none(key: str, document: dict[str, Any], expected: str | None):
    share = KeyShare(SEED, key, ["doc"])
    batch = Batch.of("document", json.dumps(document).encode(), id="1")
    plain = KeyShare(SEED)
    if expected is None:
        assert len(batch.split(share, 100.0, 100.0)[0]) == 0
    else:
        at = plain.of(expected)
        assert len(batch.split(share, at, at)[0]) == 0
        assert len(batch.split(share, at + 1e-9, 100.0)[0]) == 1


@pytest.mark.parametrize("seed", ["", "abc", "g" * 32, "é" * 32])
def test_a_seed_is_128_bits(seed: str):
    with pytest.raises(ValueError, match="hexadecimal"):
        KeyShare(seed)
