"""Shadows: the counts equal a comparison that is made offline, and traffic is as it would be without them."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from typing import Any

from headrace_pipelines.local import Outcome, Pipelines
from tests.conftest import Http, native
from tests.node.rollouts.shadows import begin, parsed, paths, settled, two_versions

DOCUMENTS = int(os.environ.get("HEADRACE_SHADOW_DOCUMENTS", "400"))
"""Documents of the sample in the gate; the long form has 20,000."""

STABLE = [
    native("lower", "lowercase", field="word", ignore_missing=True),
    {**native("fail", "fail", message="no"), "if": "has(doc.n) && doc.n == 7"},
    {**native("drop", "drop"), "if": "has(doc.n) && doc.n == 3"},
    native("convert", "convert", field="number", type="string", ignore_missing=True),
    native("split", "split", field="words", separator=" ", ignore_missing=True),
]
CANDIDATE = [
    native("lower", "lowercase", field="word", ignore_missing=True),
    {**native("fail", "fail", message="no"), "if": "has(doc.n) && (doc.n == 7 || doc.n == 8)"},
    {**native("drop", "drop"), "if": "has(doc.n) && (doc.n == 8 || doc.n == 4 || doc.n == 9)"},
    {**native("move", "set", field="moved", value=True), "if": "has(doc.n) && doc.n == 5"},
    {**native("other", "uppercase", field="word", ignore_missing=True), "if": "has(doc.n) && doc.n == 6"},
    native("convert", "convert", field="number", type="string", ignore_missing=True),
    {**native("gone", "remove", field="deep", ignore_missing=True), "if": "has(doc.n) && doc.n == 10"},
    native("split", "split", field="words", separator="[ -]", ignore_missing=True),
]
WORDS = ["Ä", "straße", "😀", "e\u0301", "İ", "日本", "a.b", "", " ", "\u2028", "ꙮ", "x"]
NUMBERS = ["1", "1.0", "1.50", "1e2", "100", "-0.0", "0", "9007199254740993", "123456789012345678901", "1e400", "0.1"]


def drawn(draw: random.Random) -> str:
    """A document as a client may write it: also with members twice and space between."""
    members = [
        f'"n": {draw.randrange(14)}',
        f'"word": {json.dumps(draw.choice(WORDS), ensure_ascii=draw.random() < 0.5)}',
    ]
    if draw.random() < 0.7:
        members.append(f'"number":{draw.choice(NUMBERS)}')
    if draw.random() < 0.7:
        members.append(f'"words": {json.dumps(draw.choice([" ", "-"]).join(draw.choices(WORDS, k=3)))}')
    if draw.random() < 0.6:
        inner = ",".join(draw.choice(NUMBERS) for _ in range(draw.randrange(4)))
        members.append(f'"deep":{{"a":[[{inner}],[{{"b":{draw.choice(NUMBERS)} }}]],"😀":null}}')
    draw.shuffle(members)
    return "{" + ",".join(members) + "}"


def offline(stable: Outcome, candidate: Outcome) -> tuple[str, set[tuple[str, str]]]:
    if stable.failures or candidate.failures:
        if stable.failures and candidate.failures:
            return "same", set()
        return ("only_stable_failed" if stable.failures else "only_candidate_failed"), set()
    if stable.dropped != candidate.dropped:
        return ("only_stable_dropped" if stable.dropped else "only_candidate_dropped"), set()
    if stable.dropped:
        return "same", set()
    found = set(paths(parsed(stable.texts[0]), parsed(candidate.texts[0])))
    return ("different" if found else "same"), found


async def test_the_counts_equal_an_offline_comparison(through: Http, name: str):
    draw = random.Random(17)
    documents = [drawn(draw) for _ in range(DOCUMENTS)]
    local = Pipelines.load(
        {"stable": {"type": "document", "stages": STABLE}, "candidate": {"type": "document", "stages": CANDIDATE}}
    )
    verdicts: Counter[str] = Counter()
    differences: Counter[tuple[str, str]] = Counter()
    for text in documents:
        verdict, found = offline(local.run("stable", [text]), local.run("candidate", [text]))
        verdicts[verdict] += 1
        differences.update(found)
    await two_versions(through, name, "document", STABLE, CANDIDATE)
    await through.index(name, document=name)
    await begin(through, name)
    for first in range(0, len(documents), 200):
        lines: list[Any] = []
        for n, text in enumerate(documents[first : first + 200], first):
            lines += [{"index": {"_index": name, "_id": str(n)}}, text]
        assert (await through.bulk(*lines)).status == 200
        if first % 2000 == 0:
            await settled(through, name, first + 200)
        if first == 200:
            await through.put(f"/{name}/_doc/extra", json.loads(documents[0]))
    verdict, found = offline(local.run("stable", [documents[0]]), local.run("candidate", [documents[0]]))
    verdicts[verdict] += 1
    differences.update(found)
    shadow = await settled(through, name, DOCUMENTS + 1)
    assert (shadow["missed"], shadow["sampled"]) == (0, 1.0)
    assert {name: count for name, count in shadow.items() if name in verdicts} == dict(verdicts)
    assert shadow["unstable"] == 0
    told = {(each["path"], each["kind"]): each["count"] for each in shadow["paths"]}
    assert told == dict(differences)
    assert {"only_candidate_failed", "only_candidate_dropped", "only_stable_dropped", "different", "same"} <= set(
        verdicts
    )
    metrics = (await through.get("/_proxy/metrics")).body.decode()
    for verdict, count in verdicts.items():
        labels = f'candidate="2",pipeline="{name}",type="document",verdict="{verdict}"'
        assert f"headrace_shadow_compared_total{{{labels}}} {float(count)}" in metrics
    assert f'headrace_shadow_inputs_total{{candidate="2",pipeline="{name}",type="document"}}' in metrics
