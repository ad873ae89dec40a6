"""The demo's UDFs and pipelines, as they are sent to the proxy."""

from __future__ import annotations

import base64
from typing import Any

from examples import build


def udfs() -> dict[str, dict[str, Any]]:
    """Uploads by name: one WAT filter (field ABI) and one C transform (JSON ABI)."""
    return {
        "keep_level": {
            "language": "wat",
            "source": build.module("keep_level.wat").decode(),
            "description": "drops documents of level DEBUG",
        },
        "mask_email": {
            "language": "c",
            "wasm": base64.b64encode(build.module("mask_email.c")).decode(),
            "description": "masks the local part of e-mail addresses",
            "limits": {"timeout": "50ms", "memory": "16mb"},
        },
    }


PIPELINES: dict[str, dict[str, Any]] = {
    "tickets-in": {
        "type": "document",
        "description": "no debug tickets, no addresses, one spelling of the level",
        "stages": [
            {"name": "no-debug", "type": "wasm", "config": {"udf_name": "keep_level"}},
            {"name": "mask", "type": "wasm", "config": {"udf_name": "mask_email"}},
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
