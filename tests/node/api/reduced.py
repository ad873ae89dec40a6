"""The description of the endpoints with schemas that a generator can fill in seconds.

The schema of a pipeline has all built-ins, and it is recursive: generating from it takes minutes. It has tests of its
own. `broad` keeps names and values open; in `focused` they are few, so that requests meet what others have stored.
"""

from __future__ import annotations

import copy
from typing import Any

from headrace.handlers.described.document import document

_TRIM = {"name": "t", "type": "native", "config": {"function": "trim", "parameters": {"field": "a"}}}
_CODE = {"name": "c", "type": "python", "config": {"code": "def process(d):\n    d['n'] = 1\n    return d\n"}}
_FAILS = {"name": "f", "type": "native", "config": {"function": "fail", "parameters": {"message": "no"}}}
_MASK = {"name": "m", "type": "native", "config": {"function": "mask", "parameters": {"fields": ["a"]}}}
_OVERSAMPLE = {"name": "o", "type": "native", "config": {"function": "oversample", "parameters": {"sample_factor": 2}}}
STAGES: list[dict[str, Any]] = [
    _TRIM,
    _CODE,
    {**_FAILS, "on_failure": "continue"},
    {**_FAILS, "name": "g", "on_failure": [_TRIM], "timeout": "1s"},
    {**_TRIM, "name": "u", "if": "has(doc.a)"},
    {"name": "s", "type": "composite", "config": {"stages": [_TRIM, _FAILS]}},
    {"name": "r", "type": "composite", "config": {"pipeline": "a", "version": "latest"}},
    {"name": "v", "type": "python", "config": {"udf_name": "a"}},
]
PIPELINES: list[dict[str, Any]] = [
    *({"type": "document", "stages": [stage]} for stage in STAGES),
    {"type": "document", "stages": STAGES[:5], "version": "2", "metadata": {"a": 1}, "on_failure": "continue"},
    {"type": "query", "stages": [_OVERSAMPLE]},
    {"type": "result", "stages": [_MASK], "enabled": False},
    {"type": "result", "stages": [_TRIM], "description": "x"},
]
UDFS: list[dict[str, Any]] = [
    {"language": "python", "source": "def process(d):\n    return d\n", "tags": ["x"]},
    {"language": "python", "source": "def process(d):\n    return 1 / 0\n", "version": "2"},
    {"language": "javascript", "source": "export function process(d) { return d }"},
    {"language": "python", "source": "def process(d:\n"},
]
_NAMES = {"name": ["a", "b", "c"], "pattern": ["a-*", "b*"], "index": ["a-1", "a-*", "_all"]}
_VALUES: dict[str, list[Any]] = {
    "version": ["1", "2", "latest"],
    "set": ["s", "t"],
    "revision": [1, 2, 3],
    "h": ["name", "name,version", "size"],
    "s": ["name", "version:desc"],
}
_PARTS = ("document.", "query.", "result.", "processor")


def broad() -> dict[str, Any]:
    found = copy.deepcopy(document())
    # Streams last for minutes; tests/node/watching has them.
    del found["paths"]["/_proxy/tap"]
    logs = found["paths"]["/_udf/{name}/_logs"]["get"]
    logs["parameters"] = [each for each in logs["parameters"] if each["name"] != "follow"]
    components = found["components"]["schemas"]
    pipeline = components["Pipeline"]
    del pipeline["allOf"]
    kinds = ["native", "composite", "python", "wasm"]
    configs = [stage["config"] for stage in STAGES]
    config = {"anyOf": [{"enum": configs}, {"type": "object"}]}
    stage = {"type": "object", "properties": {"type": {"enum": kinds}, "config": config}, "required": ["name", "type"]}
    stage["properties"] |= {"name": {"type": "string"}, "if": {"type": "string"}, "timeout": {"type": "string"}}
    pipeline["properties"]["stages"]["items"] = stage
    for name in [name for name in components if name.startswith(_PARTS)]:
        del components[name]
    pipeline["properties"]["on_failure"] = {"enum": ["abort", "continue", "retry"]}
    return found


def focused() -> dict[str, Any]:
    found = broad()
    for operations in found["paths"].values():
        for operation in operations.values():
            for parameter in operation["parameters"]:
                values = (_NAMES if parameter["in"] == "path" else _VALUES).get(parameter["name"])
                if values:
                    parameter["schema"] = {"enum": values}
    components = found["components"]["schemas"]
    components["Pipeline"] = {"enum": PIPELINES}
    components["UdfUpload"] = {"enum": UDFS}
    components["Association"] = {
        "enum": [{"document": "a"}, {"document": "a", "query": {"final_pipeline": "b"}}, {"result": "c", "priority": 3}]
    }
    trial = components["TrialRequest"]["properties"]
    trial["docs"] = {
        "enum": [[], [{"_source": {"a": " x "}}], [{"_source": {"a": 1}, "_id": "1", "_index": "a-1"}] * 2]
    }
    trial["input"] = components["UdfTrialRequest"]["properties"]["input"] = {
        "enum": [{"a": " x "}, {"hits": {"hits": [{"_source": {"a": "x"}}]}}, 1]
    }
    trial["parameters"] = {"enum": [{}, {"t": {"field": "b"}}]}
    in_set = components["SetRequest"]["properties"]
    in_set["set"], in_set["expected"] = {"enum": ["s", "t"]}, {"enum": [None, 0, 1]}
    in_set["pipelines"] = {
        "enum": [
            [],
            [{**each, "name": f"sp{n}"} for n, each in enumerate(PIPELINES[:3])],
            [{**PIPELINES[-2], "name": "sp0"}],
        ]
    }
    in_set["udfs"] = {"enum": [[], [{**UDFS[0], "name": "su"}], [{**UDFS[2], "name": "su"}]]}
    in_set["associations"] = {"enum": [{}, {"s-*": {"document": "sp0"}}]}
    return found
