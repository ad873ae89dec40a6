"""Error texts of failed scripts in a node's answer: they may quote documents that a final filter leaves out."""

from __future__ import annotations

from typing import Any

REASON = (
    "a part of this search failed; what it said is kept back, because it may quote documents that final pipelines "
    "protect: scripts and functions of a query run on other documents, too, and must not fail on any"
)
SAFE = frozenset(
    {
        *("search_phase_execution_exception", "query_shard_exception", "parsing_exception", "parse_exception"),
        *("x_content_parse_exception", "named_object_not_found_exception", "index_not_found_exception"),
        *("index_closed_exception", "invalid_index_name_exception", "too_many_clauses", "too_many_nested_clauses"),
        *("security_exception", "search_context_missing_exception", "task_cancelled_exception", "search_exception"),
        *("too_many_buckets_exception", "circuit_breaking_exception", "no_shard_available_action_exception"),
        *("opensearch_rejected_execution_exception", "rejected_execution_exception", "cluster_block_exception"),
        *("action_request_validation_exception", "resource_not_found_exception", "version_conflict_engine_exception"),
        *("media_type_header_exception", "validation_exception", "document_missing_exception"),
    }
)
"""Types of errors that quote the request or name an index or a document's id, never a document's values."""
SAFE_REASONS = (
    *(
        "Text fields are not optimised",
        "Can't load fielddata",
        "Fielddata is",
        "No mapping found",
        "Trying to retrieve",
    ),
    *("Result window is", "Batch size is", "Cannot sort", "can't sort", "Expected numeric type", "Field [", "[from]"),
    *("Failed to parse query", "Trying to create too many", "Required [", "request [", "The fielddata circuit"),
)
"""Prefixes of reasons of an `illegal_argument_exception` that concern the request or the mapping only."""
PASSED_OVER = frozenset({"hits", "aggregations", "suggest", "profile"})
"""Members of an answer in which documents are, not errors."""
COMPILING = "compile error"
"""The reason of a script that did not run at all."""


def without_quotes(answer: Any) -> Any:
    """A decoded answer whose errors of scripts say that they failed and no more; the same object if there are none."""
    if type(answer) is list:
        parts = [without_quotes(each) for each in answer]
        return answer if all(new is old for new, old in zip(parts, answer, strict=True)) else parts
    if type(answer) is not dict:
        return answer
    if type(answer.get("type")) is str and "reason" in answer and (kind := _quoting(answer)):
        return {"type": kind, "reason": REASON}
    cleaned = {name: each if name in PASSED_OVER else without_quotes(each) for name, each in answer.items()}
    return answer if all(cleaned[name] is each for name, each in answer.items()) else cleaned


def _quoting(error: Any) -> str:
    """The type of a cause of an error that may quote a document: not known to be safe; empty if there is none."""
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if type(each) is list:
            waiting += each
        elif type(each) is dict:
            kind: Any = each.get("type")
            if type(kind) is str and "reason" in each and not _is_safe(kind, each["reason"]):
                return str(kind)
            waiting += (value for name, value in each.items() if name not in ("type", "reason"))
            waiting += [each["reason"]] if type(each.get("reason")) is dict else []
    return ""


def _is_safe(kind: str, reason: Any) -> bool:
    if type(reason) is not str or kind in SAFE or reason == COMPILING:
        return True
    return kind == "illegal_argument_exception" and reason.startswith(SAFE_REASONS)
