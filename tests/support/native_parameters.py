"""Valid parameters of every built-in, and what can be wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_FIELD = {"field": "a", "target_field": "b", "ignore_missing": True}
VALID: dict[str, dict[str, Any]] = {
    "append": {"field": "a", "value": ["{{b}}", 1], "allow_duplicates": False},
    "bytes": _FIELD,
    "collapse": {"field": "a"},
    "convert": {**_FIELD, "type": "Integer"},
    "copy": {"source_field": "a", "target_field": "b", "ignore_missing": True, "remove_source": True, "override_target": True},
    "csv": {"field": "a", "target_fields": ["b"], "separator": ";", "quote": "'", "trim": True, "ignore_missing": True, "empty_value": {"x": 1}},
    "date": {"field": "a", "formats": ["ISO8601"], "target_field": "b", "timezone": "Europe/Paris", "locale": "de", "output_format": "yyyy"},
    "dissect": {"field": "a", "pattern": "%{x} %{y}", "append_separator": "-", "ignore_missing": True},
    "dot_expander": {"field": "a.b", "path": "c"},
    "drop": {},
    "fail": {"message": "no {{a}}"},
    "filter_query": {"query": {"term": {"a": 1}}},
    "fingerprint": {"fields": ["a"], "exclude_fields": [], "target_field": "b", "hash_method": "md5@2.16.0", "ignore_missing": True},
    "fit_mapping": {
        "scalar_for_object": "move", "object_for_scalar": "json", "unparsable": "drop_field", "unknown_fields": "keep", "max_new_fields": 50, "target": "_unfit", "coerce": True, "on_unknown": "pass", "prepare": True, "mapping": {"properties": {"n": {"type": "long"}}},
    },
    "foreach": {"field": "a", "ignore_missing": True, "processor": {"set": {"field": "b", "value": 1, "tag": "t", "ignore_failure": True, "on_failure": [{"drop": {}}]}}},
    "grok": {"field": "a", "patterns": ["%{WORD:b} %{X:c}"], "pattern_definitions": {"X": "x+"}, "ignore_missing": True, "trace_match": True, "capture_all_matches": True},
    "gsub": {**_FIELD, "pattern": "x", "replacement": "y"},
    "html_strip": _FIELD,
    "join": {"field": "a", "separator": "-", "target_field": "b"},
    "json": {"field": "a", "target_field": "b", "add_to_root": False},
    "kv": {
        **_FIELD, "field_split": "&", "value_split": "=", "include_keys": ["a"], "exclude_keys": ["b"], "prefix": "p", "trim_key": "x", "trim_value": "y", "strip_brackets": True,
    },
    "lowercase": _FIELD,
    "mask": {"fields": ["a", "b"], "mode": "hash", "mask": "*", "keep_last": 2, "salt": "s"},
    "oversample": {"sample_factor": 1.5, "context_prefix": "p"},
    "redact": {
        "fields": ["a"], "except": ["b"], "detectors": ["email", "credit_card"], "action": "token", "mask": "<{type}>", "keep_last": 2, "secret": "s", "min_confidence": 0.5, "allow": ["x"], "deny": ["y"], "keys": True, "numbers": True, "report": "r", "report_fields": True,
    },
    "remove": {"field": ["a", "{{b}}"], "ignore_missing": True},
    "rename": {**_FIELD, "override_target": True},
    "rename_field": _FIELD,
    "rescore": {"field": "a", "factor": 2, "modifier": "log1p", "missing": 1.5, "query_weight": 1, "rescore_query_weight": 2.5, "score_mode": "avg"},
    "set": {"field": "a", "value": {"b": ["{{c}}"]}, "override": False, "ignore_empty_value": True},
    "sort": {"field": "a", "order": "desc", "target_field": "b"},
    "split": {"field": "a", "separator": ",", "target_field": "b", "preserve_trailing": True},
    "synonym": {"synonyms": ["a, b"], "fields": "c", "boost": 0.5},
    "trim": _FIELD,
    "truncate_hits": {"target_size": 5, "context_prefix": "p"},
    "uppercase": _FIELD,
    "urldecode": _FIELD,
    "user_agent": {"field": "a", "target_field": "b", "properties": ["OS", "name"], "ignore_missing": True, "ecs": False, "regex_file": "_default_"},
}  # fmt: skip
ANY: list[Any] = ["x", "", 0, 1, 2, -1, 1.5, True, False, None, [], ["x"], [1], [None], {}, {"x": 1}, {"x": "y"}]
"""A few values of every type."""


def variants(parameters: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The parameters with one member gone, changed, or too many."""
    yield parameters
    yield {**parameters, "unheard_of": 1}
    for name in parameters:
        yield {key: value for key, value in parameters.items() if key != name}
        for value in ANY:
            yield {**parameters, name: value}
