"""What the node says of scripts that failed: it may quote documents that a final filter leaves out."""

from __future__ import annotations

from typing import Any

WITHHELD = {
    "type": "script_exception",
    "reason": "a script of this search failed; what it said is kept back, because it may quote documents that final "
    "pipelines protect: a script in a query runs on other documents, too, and must not fail on any",
}
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
    if type(answer.get("type")) is str and "reason" in answer and _quotes(answer):
        return WITHHELD
    made = {name: each if name in PASSED_OVER else without_quotes(each) for name, each in answer.items()}
    return answer if all(made[name] is each for name, each in answer.items()) else made


def _quotes(error: Any) -> bool:
    """Whether a script that ran is among the causes of an error."""
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if type(each) is list:
            waiting += each
        elif type(each) is dict:
            type_ = each.get("type")
            if type(type_) is str and type_.endswith("script_exception") and each.get("reason") != COMPILING:
                return True
            waiting += each.values()
    return False
