"""Index expressions mean here what they mean to the cluster: generated ones, resolved and searched both ways."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from headrace.protocol.indices.expressions import NOTHING
from headrace.protocol.indices.options import READ, split_expression
from headrace.protocol.indices.view import View
from headrace_pipelines.errors import MissingIndexError

if TYPE_CHECKING:
    from tests.conftest import Http

PREFIX = "zz"
INDEXES = [f"{PREFIX}{word}" for word in ("a", "ab", "abc", "b", "b-1", "b-2", "c.d", "c_e", "ten", "tenants", "x-y")]
HIDDEN = [f"{PREFIX}h{n}" for n in range(3)]
DOTTED = [f".{PREFIX}{word}" for word in ("a", "h")]
CLOSED = [f"{PREFIX}shut", f"{PREFIX}ashut"]
ALIASES: dict[str, list[tuple[str, dict[str, Any]]]] = {
    f"{PREFIX}plain": [(f"{PREFIX}a", {}), (f"{PREFIX}b", {})],
    f"{PREFIX}afilter": [
        (f"{PREFIX}ab", {"filter": {"term": {"n": 1}}}),
        (f"{PREFIX}c.d", {"filter": {"term": {"n": 0}}}),
    ],
    f"{PREFIX}routed": [(f"{PREFIX}tenants", {"routing": "r"})],
    f"{PREFIX}tomb": [(f"{PREFIX}h0", {"filter": {"term": {"n": 1}}})],
    f"{PREFIX}ha": [(f"{PREFIX}h1", {}), (f"{PREFIX}a", {"filter": {"term": {"n": 1}}})],
    f"{PREFIX}secret": [(f"{PREFIX}b-1", {"is_hidden": True})],
    f"{PREFIX}half": [(f"{PREFIX}b-2", {}), (f"{PREFIX}h2", {})],
    f".{PREFIX}alias": [(f"{PREFIX}x-y", {})],
    f"{PREFIX}toshut": [(f"{PREFIX}shut", {}), (f"{PREFIX}ten", {})],
}
STREAMS = [f"{PREFIX}ds1", f"{PREFIX}ads2"]
NAMES = [*INDEXES, *HIDDEN, *DOTTED, *CLOSED, *ALIASES, *STREAMS]
SEARCHES = 600


@pytest.fixture
async def names(direct: Http):
    """Indexes of every kind, each with two documents; `n` is 0 and 1."""
    template = {"index_patterns": [*STREAMS], "data_stream": {}, "priority": 500}
    await direct.put(f"/_index_template/{PREFIX}-streams", template)
    one = {"number_of_shards": 1, "number_of_replicas": 0}
    for index in (*INDEXES, *HIDDEN, *DOTTED, *CLOSED):
        made = await direct.put(f"/{index}", {"settings": {**one, "index.hidden": index in (*HIDDEN, DOTTED[1])}})
        assert made.status == 200, made.body
    lines: list[Any] = []
    for index in (*INDEXES, *HIDDEN, *DOTTED, *CLOSED):
        lines += [x for n in (0, 1) for x in ({"index": {"_index": index, "_id": f"{n}"}}, {"n": n})]
    for stream in STREAMS:
        assert (await direct.put(f"/_data_stream/{stream}")).status == 200
        lines += [{"create": {"_index": stream}}, {"n": 1, "@timestamp": 0}]
    assert not (await direct.bulk(*lines)).json["errors"]
    await direct.post(f"/{STREAMS[0]}/_rollover")
    await direct.bulk({"create": {"_index": STREAMS[0]}}, {"n": 0, "@timestamp": 1})
    actions = [
        {"add": {"index": index, "alias": alias, **options}}
        for alias, held in ALIASES.items()
        for index, options in held
    ]
    assert (await direct.post("/_aliases", {"actions": actions})).status == 200
    for index in CLOSED:
        assert (await direct.post(f"/{index}/_close")).status == 200
    yield
    for stream in STREAMS:
        await direct.delete(f"/_data_stream/{stream}")
    await direct.delete(f"/_index_template/{PREFIX}-streams")
    await direct.delete(f"/{','.join((*INDEXES, *HIDDEN, *DOTTED, *CLOSED))}")


def generated(rng: random.Random) -> tuple[str, dict[str, str]]:
    """An expression over these names, never over others, and parameters."""

    def part() -> str:
        name = rng.choice(NAMES)
        if rng.random() < 0.4:
            dot = name.startswith(".")
            at = rng.randrange(len(PREFIX) + dot, len(name) + 1)
            name = name[:at] + "*" + (name[rng.randrange(at, len(name) + 1) :] if rng.random() < 0.3 else "")
        return rng.choice(["", "", "", "-"]) + (name if rng.random() < 0.95 else f"{PREFIX}nowhere{rng.randrange(3)}")

    parts = [part() for _ in range(rng.choice([1, 1, 2, 2, 3, 4, 5]))]
    if rng.random() < 0.3:
        parts.insert(0, rng.choice([f"{PREFIX}*", f".{PREFIX}*", f"{PREFIX}*,.{PREFIX}*"]))
    if rng.random() < 0.03:
        parts.insert(rng.randrange(len(parts) + 1), "")
    parameters: dict[str, str] = {}
    if rng.random() < 0.5:
        states = rng.sample(["open", "closed", "hidden", "none", "all"], rng.choice([1, 1, 2, 3]))
        parameters["expand_wildcards"] = ",".join(states)
    for flag in ("ignore_unavailable", "allow_no_indices"):
        if rng.random() < 0.4:
            parameters[flag] = rng.choice(["true", "false"])
    return ",".join(parts), parameters


async def search(direct: Http, expression: str, parameters: dict[str, str]) -> Any:
    """What a search reads: its documents, or the type of its error."""
    query = "&".join(f"{name}={value}" for name, value in {**parameters, "size": "100"}.items())
    answer = await direct.get(f"/{quote(expression, safe=',*')}/_search?{query}")
    if answer.status != 200:
        return answer.error["type"]
    assert answer.json["_shards"]["failed"] == 0
    return sorted((hit["_index"], hit["_id"]) for hit in answer.json["hits"]["hits"])


async def the_view(direct: Http) -> View:
    aliases = (await direct.get("/_alias?expand_wildcards=all")).json
    return View.of(aliases, (await direct.get("/_resolve/index/*?expand_wildcards=all")).json)


@pytest.mark.parametrize("seed", range(1))
async def test_what_is_forwarded_reads_what_the_expression_reads(direct: Http, names: None, seed: int):
    view, rng = await the_view(direct), random.Random(seed)
    exact = 0
    for _ in range(SEARCHES):
        expression, parameters = generated(rng)
        theirs = await search(direct, expression, parameters)
        options = READ.with_parameters(parameters)
        try:
            reading = view.read(expression, options)
        except MissingIndexError:
            # Of several faults the node may name another one first.
            assert isinstance(theirs, str), (expression, parameters)
            continue
        if isinstance(theirs, list):
            touched = {index for index, _ in theirs}
            assert touched <= set(reading.resolution.indexes), (expression, parameters, reading)
        if reading.expression is None:
            continue
        exact += 1
        if reading.resolution.forwarded == NOTHING:
            parameters = {n: v for n, v in parameters.items() if n != "expand_wildcards"}
        ours = await search(direct, reading.expression, parameters)
        assert ours == theirs, (expression, parameters, reading)
    assert exact > SEARCHES * 0.6


async def test_indexes_are_those_that_the_cluster_resolves(direct: Http, names: None):
    """`_resolve/index` knows only `expand_wildcards`, and keeps aliases and streams by name."""
    view, rng = await the_view(direct), random.Random(7)
    for _ in range(SEARCHES):
        expression, parameters = generated(rng)
        parameters = {n: v for n, v in parameters.items() if n == "expand_wildcards"}
        counted = await direct.get(
            f"/{quote(expression, safe=',*')}/_search?size=0&request_cache=false&ignore_unavailable=true&"
            + "&".join(f"{n}={v}" for n, v in parameters.items()),
            body={"aggs": {"i": {"terms": {"field": "_index", "size": 100, "min_doc_count": 0}}}},
        )
        options = READ.with_parameters({**parameters, "ignore_unavailable": "true"})
        if counted.status != 200:
            continue
        try:
            reading = view.read(expression, options)
        except MissingIndexError:
            raise AssertionError(expression) from None
        open_ones = [i for i in reading.resolution.indexes if i in view.indexes and view.indexes[i].state == "open"]
        assert counted.json["_shards"]["total"] == len(open_ones), (expression, parameters, reading)


def test_parts():
    assert split_expression(",") == []
    assert split_expression("a,,b,,") == ["a", "", "b"]
