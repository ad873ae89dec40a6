"""The stream of dead letters in the cluster: its index template, its retention, and its names."""

from __future__ import annotations

from typing import Any

from headrace_pipelines.definition import DEAD_LETTERS

TASKS = "-tasks"
"""Behind the name of a stream: the index with the states of redrives."""
RETENTION_DAYS = 14
"""Default age in days at which backing indexes of the stream are deleted."""
_KEYWORD = {"type": "keyword", "ignore_above": 1024}
_KEYWORDS = (
    *("op", "target", "id", "routing", "named", "pipeline", "version", "cause", "stage", "group", "user", "trace_id"),
    "redrive",
)


def template(stream: str = DEAD_LETTERS) -> dict[str, Any]:
    """The index template of a data stream; the documents themselves are stored and not indexed."""
    stored = {"type": "object", "enabled": False}
    error = {"type": _KEYWORD, "field": _KEYWORD, "reason": {"type": "text"}, "status": {"type": "short"}}
    properties = {
        "@timestamp": {"type": "date"},
        "original": stored,
        "original_base64": stored,
        **dict.fromkeys(_KEYWORDS, _KEYWORD),
        "parts": {"type": "integer"},
        "attempt": {"type": "integer"},
        "conflict": {"type": "boolean"},
        "error": {"properties": error},
    }
    return {
        "index_patterns": [stream],
        "data_stream": {},
        "priority": 200,
        "template": {
            "settings": {"index.number_of_shards": 1, "index.auto_expand_replicas": "0-1"},
            "mappings": {"dynamic": False, "properties": properties},
        },
    }


def policy(stream: str = DEAD_LETTERS, days: int = RETENTION_DAYS) -> dict[str, Any]:
    """The ISM policy of a stream: a new backing index each day, and the deletion of old ones."""
    written = {
        "name": "written",
        "actions": [{"rollover": {"min_index_age": "1d", "min_primary_shard_size": "10gb"}}],
        "transitions": [{"state_name": "deleted", "conditions": {"min_index_age": f"{days}d"}}],
    }
    deleted = {"name": "deleted", "actions": [{"delete": {}}], "transitions": []}
    return {
        "policy": {
            "description": f"Dead letters of Headrace are kept for {days} days.",
            "default_state": "written",
            "states": [written, deleted],
            "ism_template": [{"index_patterns": [stream], "priority": 200}],
        }
    }
