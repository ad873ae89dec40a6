"""The differences between two texts, two ends and two rankings."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import pytest

from headrace.execution.rollouts.shadow.comparing import without
from headrace.execution.rollouts.shadow.ends import Comparison, Difference, End, compared
from headrace.execution.rollouts.shadow.hits import response_differences
from headrace.execution.rollouts.shadow.rankings import overlap, rank_biased_overlap
from headrace.execution.rollouts.shadow.searches import measured
from headrace.ops.metrics.shadows import MAX_PATHS, SearchCounts, ShadowCounts
from headrace.protocol.media.differences import MAX_DIFFERENCES, MAX_PATH, Ignored, differences
from headrace_pipelines import PipelineType

DOCUMENT, RESULT = PipelineType.DOCUMENT, PipelineType.RESULT


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ('{"a":1,"b":2}', '{ "b" : 2, "a" : 1 }', []),
        ('{"a":1}', '{"a":2}', ["a changed"]),
        ('{"a":1}', "{}", ["a removed"]),
        ("{}", '{"a":{"b":1}}', ["a added"]),
        ('{"a":1}', '{"a":1.0}', ["a type"]),
        ('{"a":1.50}', '{"a":1.5}', []),
        ('{"a":1.5}', '{"a":15e-1}', []),
        ('{"a":100}', '{"a":1e2}', ["a type"]),
        ('{"a":0.1}', '{"a":0.10000000000000001}', ["a changed"]),
        ('{"a":9007199254740993}', '{"a":9007199254740992}', ["a changed"]),
        ('{"a":123456789012345678901234567890}', '{"a":123456789012345678901234567891}', ["a changed"]),
        ('{"a":1e400}', '{"a":1e401}', ["a changed"]),
        ('{"a":1e99999999999999999999}', '{"a":1e99999999999999999998}', [" changed"]),
        ('{"a":true}', '{"a":1}', ["a type"]),
        ('{"a":true}', '{"a":false}', ["a changed"]),
        ('{"a":null}', '{"a":"x"}', ["a type"]),
        ('{"a":null}', "{}", ["a removed"]),
        ('{"a":[]}', '{"a":{}}', ["a type"]),
        ('{"a":"\\u00e9"}', '{"a":"é"}', []),
        ('{"a":"é"}', '{"a":"e\u0301"}', ["a changed"]),
        ('{"\\ud83d\\ude00":1}', '{"😀":2}', ["😀 changed"]),
        ('{"a":"\\ud800"}', '{"a":"\\ud801"}', ["a changed"]),
        ('{"\\ud800":1}', "{}", ["? removed"]),
        ('{"a":1,"a":2}', '{"a":2}', []),
        ('{"a":1,"a":2}', '{"a":1}', ["a changed"]),
        ('{"a":[1,2,3]}', '{"a":[0,1,2,3]}', ["a[] added"]),
        ('{"a":[1,2,3]}', '{"a":[1,3]}', ["a[] removed"]),
        ('{"a":[1,2,3]}', '{"a":[1,9,3]}', ["a[] changed"]),
        ('{"a":[[1],[2,[3]]]}', '{"a":[[1],[2,[4]]]}', ["a[][][] changed"]),
        ('{"a":[{"b":1},{"b":2}]}', '{"a":[{"b":5},{"b":"2"}]}', ["a[].b changed", "a[].b type"]),
        ('{"a.b":1}', '{"a.b":2}', ["a.b changed"]),
        ("no JSON", "{}", [" changed"]),
    ],
)
def test_differences_have_paths_and_kinds_and_no_values(before: str, after: str, expected: list[str]) -> None:
    found = differences(before.encode(), after.encode())
    assert sorted(f"{path} {kind}" for path, kind in found) == expected
    assert not differences(before.encode(), before.encode())
    mirrored = {"added": "removed", "removed": "added"}
    back = {(path, mirrored.get(kind, kind)) for path, kind in differences(after.encode(), before.encode())}
    assert back == set(found)


@pytest.mark.parametrize("ignored", ["a.b", "a", "a[].b", ".a.b."])
def test_ignored_paths_cover_what_is_below_them_and_positions_say_nothing(ignored: str) -> None:
    before, after = b'{"a":[{"b":{"c":1}}],"ab":1}', b'{"a":[{"b":{"c":2}}],"ab":2}'
    assert differences(before, after, Ignored([ignored])) == {Difference("ab", "changed")}
    assert len(differences(before, after, Ignored(["b", "a.bc", "a.b.c.d"]))) == 2


def test_differences_and_their_paths_are_bounded() -> None:
    many = json.dumps({f"n{n}": n for n in range(1000)}).encode()
    assert len(differences(many, b"{}")) == MAX_DIFFERENCES
    long, deep = b'{"%b":1}' % (b"x" * 5000), b'{"a":' * 60 + b"1" + b"}" * 60
    assert {len(path) for path, _ in differences(long, b"{}")} == {MAX_PATH}
    assert {len(path) for path, _ in differences(deep, deep.replace(b"1", b"2"))} == {60 * 2 - 1}
    assert differences(b"[" * 5000 + b"]" * 5000, b"[" * 5000 + b"1" + b"]" * 5000) == {Difference("", "changed")}


def _kept(*outputs: str, at: tuple[str | None, str | None, str | None] = ("i", "1", None)) -> End:
    return End("kept", tuple(text.encode() for text in outputs), (at,) * len(outputs))


@pytest.mark.parametrize(
    ("stable", "candidate", "verdict", "found"),
    [
        (_kept("{}"), _kept("{ }"), "same", ()),
        (_kept("{}"), End("dropped"), "only_candidate_dropped", ()),
        (End("dropped"), _kept("{}"), "only_stable_dropped", ()),
        (End("dropped"), End("dropped"), "same", ()),
        (End("failed", error="x"), End("failed", error="x"), "same", ()),
        (End("failed", error="x"), End("failed", error="y"), "different", (("_error", "changed"),)),
        (End("failed", error="x"), End("dropped"), "only_stable_failed", ()),
        (_kept("{}"), End("failed", error="x"), "only_candidate_failed", ()),
        (_kept("{}"), _kept("{}", at=("j", "1", None)), "different", (("_index", "changed"),)),
        (_kept("{}"), _kept("{}", at=("i", None, "r")), "different", (("_id", "removed"), ("_routing", "added"))),
        (_kept("{}"), _kept("{}", '{"a":1}'), "different", (("[]", "added"),)),
    ],
)
def test_ends_are_judged(stable: End, candidate: End, verdict: str, found: tuple[tuple[str, str], ...]) -> None:
    comparison = compared(DOCUMENT, stable, candidate)
    assert (comparison.verdict, comparison.found) == (verdict, set(found))


def test_what_stable_does_not_do_alike_twice_is_no_fault_of_the_candidate() -> None:
    differs = Comparison("different", {Difference("a", "changed"), Difference("b", "changed")})
    assert without(differs, Comparison("same")) == differs
    assert without(differs, Comparison("different", {Difference("a", "type")})).found == {Difference("b", "changed")}
    assert without(differs, Comparison("different", differs.found)).verdict == "unstable"
    assert without(differs, Comparison("only_stable_dropped")).verdict == "unstable"
    failed = Comparison("only_candidate_failed")
    assert without(failed, differs) == failed


def _response(*hits: tuple[str, int], total: int = 3) -> bytes:
    listed = [{"_index": "i", "_id": key, "_source": {"n": n}} for key, n in hits]
    return json.dumps({"hits": {"total": {"value": total}, "hits": listed}}).encode()


def test_hits_are_compared_by_what_they_are_then_by_their_order() -> None:
    stable = _response(("a", 1), ("b", 2), ("c", 3))
    assert not response_differences(stable, stable + b" ")
    assert response_differences(stable, _response(("b", 2), ("a", 1), ("c", 3))) == {("hits.hits", "changed")}
    assert response_differences(stable, _response(("b", 2), ("c", 3), ("a", 9))) == {
        ("hits.hits", "changed"),
        ("hits.hits[]._source.n", "changed"),
    }
    assert response_differences(stable, _response(("a", 1), ("c", 3), ("d", 4), total=4)) == {
        ("hits.hits[]", "removed"),
        ("hits.hits[]", "added"),
        ("hits.total.value", "changed"),
    }
    assert compared(RESULT, End("kept", (stable,)), End("kept", (b'{"hits":{}}',))).found == {
        ("hits.hits", "removed"),
        ("hits.total", "removed"),
    }


def _rbo_by_definition(ours: list[Any], theirs: list[Any], p: float, depth: int) -> float:
    """The base form (equation 4 of the paper) over long rankings: its rest is below p ** depth."""
    return (1 - p) * sum(p ** (d - 1) * len(set(ours[:d]) & set(theirs[:d])) / d for d in range(1, depth + 1))


def test_rank_biased_overlap_agrees_with_its_definition() -> None:
    assert rank_biased_overlap([], []) == 1
    assert rank_biased_overlap([1], []) == 0
    assert rank_biased_overlap([1, 2, 3], [1, 2, 3]) == pytest.approx(1)
    assert rank_biased_overlap([1, 2, 3], [4, 5, 6]) == 0
    draw = random.Random(7)
    for _ in range(20):
        ours = list(range(300))
        theirs = ours.copy()
        for _ in range(30):
            a, b = draw.randrange(300), draw.randrange(300)
            theirs[a], theirs[b] = theirs[b], theirs[a]
        assert rank_biased_overlap(ours, theirs) == pytest.approx(_rbo_by_definition(ours, theirs, 0.9, 300), abs=1e-9)
        # A page is extrapolated: it lies between what it says for sure and what could follow.
        least = _rbo_by_definition(ours[:10], theirs[:10], 0.9, 10)
        assert least <= rank_biased_overlap(ours[:10], theirs[:10]) <= least + 0.9**10
    assert 0 < rank_biased_overlap([1, 2, 3], [1]) < rank_biased_overlap([1, 2, 3], [1, 2]) < 1
    assert overlap([1, 2, 3, 4], [4, 9]) == 0.25


def test_answers_of_searches_are_measured_by_ids_alone() -> None:
    found = measured(_response(("a", 1), ("b", 2)), _response(("b", 7), ("a", 1), total=5))
    assert (found.compared, found.overlap, found.same_hits, found.same_total) == (1, 1.0, 0, 0)
    assert (found.stable_total, found.candidate_total) == (3, 5)
    shown = found.shown
    assert (shown["n"], shown["overlap@10"]) == (1, 1)
    assert 0 < shown["rbo"] < 1
    assert SearchCounts().shown == {"n": 0, "failed": 0, "missed": 0}
    assert measured(b"{}", b"{}").same_hits == 1


def test_counts_of_processes_add_up_and_paths_are_bounded() -> None:
    first, second = ShadowCounts(seen=5, waiting=1), ShadowCounts(seen=10)
    first.count("different", "kept", [("a|b", "changed"), ("c", "added")])
    for n in range(MAX_PATHS):
        second.count("different", "failed", [(f"n{n}", "changed"), ("a|b", "changed")])
    second.count("unstable", "kept", [])
    total = ShadowCounts()
    total.add(first.copy())
    total.add(second.copy())
    assert (len(total.paths), total.more_paths) == (MAX_PATHS, 2)
    assert total.paths["a|b|changed"] == 1 + MAX_PATHS
    shown = total.shown
    assert shown["paths"][0] == {"path": "a|b", "kind": "changed", "count": 1 + MAX_PATHS}
    assert (shown["different"], shown["unstable"], shown["seen"], total.differing) == (201, 1, 15, 201)
    assert (shown["missed"], total.failed) == (0, MAX_PATHS)


def test_many_hits_without_ids_are_compared_in_linear_time() -> None:
    hits = [{"_score": n} for n in range(20_000)]
    before, after = (json.dumps({"hits": {"hits": each}}).encode() for each in (hits, [{"_score": -1}, *hits[1:]]))
    began = time.process_time()
    assert {each.path for each in response_differences(before, after)} == {"hits.hits[]._score"}
    assert time.process_time() - began < 3
