"""Records of rollouts: what is refused and where, and which rollouts are in force."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from headrace.registry.records_codec import records_of, rollout_document
from headrace_pipelines import PipelineType
from headrace_pipelines.errors import InvalidError
from headrace_pipelines.registry.pipeline import Pipeline
from headrace_pipelines.registry.rollouts.record import Rollout, parse
from headrace_pipelines.registry.rollouts.running import in_force

GOOD: dict[str, Any] = {
    "candidate": "4",
    "mode": "canary",
    "steps": [{"percent": 1, "for": "10m"}, {"percent": 25}],
    "abort_if": {"error_rate": 0.005, "p99_ratio": 2},
}
SHADOW: dict[str, Any] = {"candidate": "4", "mode": "shadow", "ignore": ["a.b"], "abort_if": {"diff_rate": 0.01}}
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"candidate": "no version"}, "candidate"),
    ({"mode": "canry"}, "mode"),
    ({"key": "header:a b"}, "key"),
    ({"key": "x" * 2000}, "key"),
    ({"steps": []}, "steps"),
    ({"steps": [{"percent": 0, "for": "1m"}]}, "steps[0].percent"),
    ({"steps": [{"percent": 101}]}, "steps[0].percent"),
    ({"steps": [{"percent": 5, "for": "1m"}, {"percent": 5}]}, "steps[1].percent"),
    ({"steps": [{"percent": 5}, {"percent": 6}]}, "steps[0].for"),
    ({"steps": [{"percent": 5, "for": "1 week"}]}, "steps[0].for"),
    ({"steps": [{"percent": 5, "fro": "1m"}]}, "steps[0].fro"),
    ({"steps": [{"percent": n + 1, "for": "1m"} for n in range(21)]}, "steps"),
    ({"abort_if": {"error_rate": 1.5}}, "abort_if.error_rate"),
    ({"abort_if": {"diff_rate": 0.1}}, "abort_if.diff_rate"),
    ({"abort_if": {"p99_ratio": 0.5}}, "abort_if.p99_ratio"),
    ({"min_samples": 0}, "min_samples"),
    ({"ignore": ["a"]}, "ignore"),
    ({"execute": 0.1}, "execute"),
    ({"fallback": "none"}, "fallback"),
]


@pytest.mark.parametrize(("change", "field"), WRONG)
def test_the_field_at_fault_is_named(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidError) as refused:
        parse(json.dumps(GOOD | change).encode(), PipelineType.DOCUMENT)
    assert refused.value.field == field


def test_keys_have_defaults_by_the_type() -> None:
    text = json.dumps(GOOD).encode()
    assert parse(text, PipelineType.DOCUMENT).key == "_id"
    assert parse(text, PipelineType.QUERY).key == "user"
    with pytest.raises(InvalidError, match="key of documents"):
        parse(json.dumps(GOOD | {"key": "_id"}).encode(), PipelineType.QUERY)


def test_a_shadow_needs_no_steps_and_has_no_fallback() -> None:
    assert parse(json.dumps(SHADOW).encode(), PipelineType.DOCUMENT).percent(0) == 100
    with pytest.raises(InvalidError, match="fallback"):
        parse(json.dumps(SHADOW | {"fallback": "stable"}).encode(), PipelineType.DOCUMENT)
    with pytest.raises(InvalidError, match="p99_ratio"):
        parse(json.dumps(SHADOW | {"abort_if": {"p99_ratio": 2}}).encode(), PipelineType.DOCUMENT)


def _rollout(**changes: Any) -> Rollout:
    spec = parse(json.dumps(GOOD).encode(), PipelineType.DOCUMENT)
    facts: dict[str, Any] = {"type": PipelineType.DOCUMENT, "name": "logs", "spec": spec, "stable": "3", "seed": "s"}
    return Rollout(**(facts | {"created": "2026-01-01T00:00:00Z"} | changes))


def test_a_rollout_is_stored_and_read_again() -> None:
    rollout = _rollout(state="aborted", step=1, reason="errors")
    assert records_of([rollout_document(rollout)]).rollouts == [rollout]


@pytest.mark.parametrize(
    ("changes", "active", "faulty", "expected"),
    [
        ({}, "3", False, True),
        ({"state": "paused"}, "3", False, True),
        ({"state": "aborted"}, "3", False, False),
        ({"state": "promoted"}, "3", False, False),
        ({}, "4", False, False),
        ({}, "5", False, False),
        ({}, "3", True, False),
    ],
)
def test_a_rollout_is_in_force_while_its_stable_version_is_active(
    changes: dict[str, Any], active: str, faulty: bool, expected: bool
) -> None:
    rollout = _rollout(**changes)
    fault = InvalidError("no UDF") if faulty else None
    definition = msgspec.UNSET
    compiled = {
        (rollout.key, version): Pipeline(definition, "", [], fault if version == "4" else None, None, frozenset())  # type: ignore[arg-type]
        for version in ("3", "4", "5")
    }
    assert (rollout.key in in_force([rollout], {rollout.key: active}, compiled)) is expected
