"""Canaries of small requests on the fast path: the same versions, answers and counts as by handlers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from headrace.execution.rollouts import versions
from tests.conftest import Http, native, ndjson
from tests.node.http.inline.pairs import SHAPE, Pair
from tests.node.rollouts.shadows import rollout, two_versions

if TYPE_CHECKING:
    from tests.conftest import Answer

MARKS = [native("mark", "set", field="v", value=version) for version in (1, 2)]
SPECS: dict[str, dict[str, Any]] = {
    "few": {"steps": [{"percent": 20}]},
    "most": {"steps": [{"percent": 70}]},
    "few, timed": {"steps": [{"percent": 20}], "abort_if": {"p99_ratio": 900}, "min_samples": 10_000},
    "most, timed": {"steps": [{"percent": 70}], "abort_if": {"p99_ratio": 900}, "min_samples": 10_000},
    "by a field": {"steps": [{"percent": 50}], "key": "doc.level"},
}
COUNT = 60
LENIENT = native("n", "convert", field="n", type="long", ignore_missing=True) | {"on_failure": "continue"}
BULK = [
    line
    for n in range(COUNT)
    for line in (
        {"index": {"_index": "INDEX", "_id": f"k{n}"}},
        [n]
        if n % 11 == 10
        else {"level": f"L{n}"}
        | ({"drop": 1} if n % 5 == 4 else {})
        | ({"fail": 1} if n % 5 == 3 else {})
        | ({"n": "x"} if n % 7 == 6 else {}),
    )
]


def end_of(document: Any) -> str:
    """What becomes of a document of the bulk; one that a stage fails on and lets go on has failed for a rollout."""
    if isinstance(document, list) or "fail" in document:
        return "failed"
    return "dropped" if "drop" in document else "failed" if "n" in document else "here"


async def begin(http: Http, name: str, **spec: Any) -> None:
    answer = await http.put(f"/_pipeline/{name}/_rollout", {"candidate": "2", "mode": "canary", **spec})
    assert answer.status == 201, answer.body
    while not (await rollout(http, name))["percent"]:
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("case", SPECS)
async def test_versions_answers_and_counts_are_those_of_handlers(pair: Pair, name: str, through: Http, case: str):
    await two_versions(through, name, "document", [*SHAPE, LENIENT, MARKS[0]], [*SHAPE, LENIENT, MARKS[1]])
    await pair.make(document=name)
    await begin(through, name, **SPECS[case])
    answers: list[Answer] = [await pair.same("POST", "/_bulk", ndjson(*BULK))]
    for n in range(8):
        answers.append(await pair.same("PUT", f"/INDEX/_doc/k{n}", {"level": f"L{n}"}))
        answers.append(await pair.same("POST", "/INDEX/_doc", {"level": f"L{n}", "n": n}))
    answers.append(await pair.same("PUT", "/INDEX/_create/new", {"level": "N"}))
    answers.append(await pair.same("PUT", "/INDEX/_doc/dropped", {"level": "N", "drop": 1}))
    ran = answers[0].headers["X-Pipeline"].partition(";canary=")
    assert set(ran[0].split(",")) == {f"document={name}@1", f"document={name}@2"}
    assert ran[2] == f"{name}@2"
    fast, slow = await pair.stored()
    assert fast == slow
    assert {source.get("v") for id_, source in fast if id_.startswith("k")} == {1, 2}
    # Each was sent twice: what the handlers counted, this path did, too.
    shown = (await rollout(through, name))["versions"]
    sums = {key: shown["stable"][key] + shown["candidate"][key] for key in ("documents", "failed", "dropped")}
    ends = [end_of(document) for document in BULK[1::2]]
    assert sums == {
        "documents": 2 * (COUNT + 8 + 8 + 1 + 1),
        "failed": 2 * ends.count("failed"),
        "dropped": 2 * (ends.count("dropped") + 1),
    }
    # Two were written before the rollout.
    for version, seen in (("1", shown["stable"]["documents"] + 2), ("2", shown["candidate"]["documents"])):
        assert (await through.get(f"/_pipeline/{name}/_stats?version={version}")).json["documents_in"] == seen


async def test_a_rollout_that_a_document_does_not_tell_alone_is_left_to_its_handler(
    pair: Pair, name: str, through: Http
):
    await two_versions(through, name, "document", [MARKS[0]], [MARKS[1]])
    await pair.make(document=name)
    for spec in ({"fallback": "stable"}, {"key": "user"}):
        await begin(through, name, steps=[{"percent": 50}], **spec)
        await pair.same("PUT", "/INDEX/_doc/x", {"level": "A"}, inline=False)
        assert (await through.post(f"/_pipeline/{name}/_abort")).status == 200
        await pair.same("PUT", "/INDEX/_doc/x", {"level": "A"})


async def test_a_process_whose_readings_are_late_has_the_handler_wait(
    pair: Pair, name: str, through: Http, monkeypatch: pytest.MonkeyPatch
):
    await two_versions(through, name, "document", [MARKS[0]], [MARKS[1]])
    await pair.make(document=name)
    await begin(through, name, steps=[{"percent": 50}])
    await pair.same("PUT", "/INDEX/_doc/x", {"level": "A"})
    monkeypatch.setattr(versions, "GOOD_SECONDS", 0.0)
    await pair.same("PUT", "/INDEX/_doc/x", {"level": "A"}, inline=False)
