"""The demo's UDFs and pipelines, as they are sent to the proxy."""

from __future__ import annotations

from typing import Any

KEEP_LEVEL = """// @udf: description=drops documents of level DEBUG
export function process(doc) {
  return doc.level !== "DEBUG";
}
"""
MASK_EMAIL = """# @udf: description=masks the local part of e-mail addresses
# @udf: timeout=50ms
import re

ADDRESS = re.compile(r"[\\w.+-]+(?=@)")


def process(doc):
    doc["note"] = ADDRESS.sub("***", doc["note"])
    return doc
"""
UDFS: dict[str, dict[str, Any]] = {
    "keep_level": {"language": "javascript", "source": KEEP_LEVEL},
    "mask_email": {"language": "python", "source": MASK_EMAIL},
}
"""Uploads by name."""

PIPELINES: dict[str, dict[str, Any]] = {
    "tickets-in": {
        "type": "document",
        "description": "no debug tickets, no addresses, one spelling of the level",
        "stages": [
            {"name": "no-debug", "type": "javascript", "config": {"udf_name": "keep_level"}},
            {"name": "mask", "type": "python", "config": {"udf_name": "mask_email"}},
            {
                "name": "level",
                "type": "native",
                "config": {"function": "lowercase", "parameters": {"field": "level"}},
            },
            {
                "name": "source",
                "type": "native",
                "config": {"function": "set", "parameters": {"field": "source", "value": "demo"}},
            },
        ],
    },
    "tickets-query": {
        "type": "query",
        "description": "everybody sees the tickets of tenant north only",
        "on_failure": "abort",
        "stages": [
            {
                "name": "tenant",
                "type": "native",
                "config": {"function": "filter_query", "parameters": {"query": {"term": {"tenant": "north"}}}},
            }
        ],
    },
    "tickets-result": {
        "type": "result",
        "description": "two hits are enough",
        "stages": [
            {
                "name": "two",
                "type": "native",
                "config": {"function": "truncate_hits", "parameters": {"target_size": 2}},
            }
        ],
    },
}

SETTINGS: dict[str, Any] = {
    "index": {
        "number_of_shards": 1,
        "number_of_replicas": 0,
        "document": {"default_pipeline": "tickets-in"},
        "query": {"default_pipeline": "tickets-query"},
        "result": {"default_pipeline": "tickets-result"},
    }
}
