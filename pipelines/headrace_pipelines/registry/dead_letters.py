"""The JSON Schema of `dead_letters` of a pipeline or of a pattern."""

from __future__ import annotations

from typing import Any

from headrace_pipelines.definition import CAUSES, DEAD_LETTERS, STREAM


def schema() -> dict[str, Any]:
    """The schema; a value is checked by the types of definitions."""
    stream = {"type": "string", "pattern": f"^{STREAM.pattern}$", "default": DEAD_LETTERS}
    causes = {"type": "array", "items": {"enum": list(CAUSES)}, "default": list(CAUSES)}
    about = "The failures: of stages, and documents that the cluster refuses for good. Empty: none."
    answer = {"enum": ["error", "accepted"], "default": "error"}
    return {
        "description": "Where documents are kept that end as errors.",
        "type": "object",
        "properties": {
            "stream": {"description": "The data stream of the records.", **stream},
            "on": {"description": about, **causes},
            "answer": {"description": "The answer of the client for such a document.", **answer},
        },
        "additionalProperties": False,
    }
