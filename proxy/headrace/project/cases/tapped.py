"""Records of a tap as test cases, which `headrace test` passes."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from headrace.project.source import dump

if TYPE_CHECKING:
    from collections.abc import Sequence

INPUTS = {"document": "docs", "query": "request"}
"""The input of a case by the type of a pipeline; taps show no responses."""


def case_of(record: dict[str, Any], name: str) -> dict[str, Any] | None:
    """The case of a record; `None` for one that does not say all that a case needs.

    These are responses, documents that are too long or have hidden fields, those with numbers that no float holds, and
    those for which the second run ended otherwise: the pipeline depends on more than its input.
    """
    kind, before = INPUTS.get(record["type"]), record["before"]
    if kind is None or before is None or record.get("hidden") or record.get("rerun"):
        return None
    if _has_decimal(before) or _has_decimal(record["after"]):
        return None
    case: dict[str, Any] = {"name": name, "now": record["ts"]}
    if kind == "docs":
        meta = {"_index": record["index"], "_id": record["id"]}
        case["docs"] = [{key: value for key, value in meta.items() if value is not None} | {"_source": before}]
    else:
        case["request"] = before
    error, after = record["error"], record["after"]
    if error is not None:
        case["expect_error"] = {key: error[key] for key in ("type", "reason", "stage") if error.get(key)}
    elif record["outcome"] == "dropped":
        case["dropped"] = True
    elif kind == "docs":
        case["expect"] = after if isinstance(after, list) else [after]
    else:
        case["expect"] = after
    return case


def _has_decimal(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_decimal, value.values()))
    return any(map(_has_decimal, value)) if isinstance(value, list) else isinstance(value, Decimal)


def case_file(pipeline: str, records: Sequence[dict[str, Any]]) -> tuple[str, int]:
    """The text of a case file with records of one pipeline, and how many cases it has."""
    cases: list[dict[str, Any]] = []
    for record in records:
        if (case := case_of(record, f"{record['index'] or record['surface']} {len(cases) + 1}")) is not None:
            cases.append(case)
    body = dump({"pipeline": pipeline, "cases": cases})
    return f"# {len(cases)} inputs of {pipeline} as a tap saw them.\n{body}\n", len(cases)
