"""Drawn mappings and documents that meet them, or do not: for tests of `fit_mapping` against a real node."""

from __future__ import annotations

import json
import random
from typing import Any

FIELDS: dict[str, dict[str, Any]] = {
    "byte": {"type": "byte"},
    "short": {"type": "short"},
    "integer": {"type": "integer"},
    "long": {"type": "long"},
    "unsigned_long": {"type": "unsigned_long"},
    "half_float": {"type": "half_float"},
    "float": {"type": "float"},
    "double": {"type": "double"},
    "scaled_float": {"type": "scaled_float", "scaling_factor": 100},
    "strict_long": {"type": "long", "coerce": False},
    "strict_integer": {"type": "integer", "coerce": False},
    "strict_double": {"type": "double", "coerce": False},
    "malformed_long": {"type": "long", "ignore_malformed": True},
    "malformed_date": {"type": "date", "ignore_malformed": True},
    "malformed_ip": {"type": "ip", "ignore_malformed": True},
    "date": {"type": "date"},
    "day": {"type": "date", "format": "yyyy/MM/dd||yyyyMMdd"},
    "seconds": {"type": "date", "format": "epoch_second"},
    "nanos": {"type": "date_nanos"},
    "boolean": {"type": "boolean"},
    "ip": {"type": "ip"},
    "keyword": {"type": "keyword"},
    "short_keyword": {"type": "keyword", "ignore_above": 100},
    "stored_keyword": {"type": "keyword", "index": False, "doc_values": False},
    "wildcard": {"type": "wildcard"},
    "text": {"type": "text"},
    "whole_text": {"type": "text", "analyzer": "keyword"},
    "text_and_keyword": {"type": "text", "fields": {"k": {"type": "keyword"}}},
    "keyword_and_long": {"type": "keyword", "fields": {"n": {"type": "long"}}},
    "match_only_text": {"type": "match_only_text"},
    "search_as_you_type": {"type": "search_as_you_type"},
    "token_count": {"type": "token_count", "analyzer": "standard"},
    "constant": {"type": "constant_keyword", "value": "x"},
    "binary": {"type": "binary"},
    "stored_binary": {"type": "binary", "store": True},
    "geo_point": {"type": "geo_point"},
    "malformed_point": {"type": "geo_point", "ignore_malformed": True},
    "flat": {"type": "flat_object"},
    "object": {"type": "object", "properties": {"x": {"type": "long"}}},
    "closed": {"type": "object", "enabled": False},
    "strict_object": {"type": "object", "dynamic": "strict", "properties": {"x": {"type": "long"}}},
    "still_object": {"type": "object", "dynamic": "false", "properties": {"x": {"type": "long"}}},
    "nested": {"type": "nested", "properties": {"x": {"type": "long"}}},
    "alias": {"type": "alias", "path": "long"},
    "copied": {"type": "keyword", "copy_to": "copy"},
    "copy": {"type": "long"},
}
"""Fields of all kinds by their names."""

_SCALARS = (
    "1", "0", "-1", "127", "128", "-129", "32768", "70000", "2147483648", "9223372036854775807", "9223372036854775808",
    "-9223372036854775808", "18446744073709551615", "18446744073709551616", "99999999999999999999", "1.5", "-0.5",
    "127.9", "1e2", "1E3", "1e40", "1e400", "3e38", "4e38", "65504", "65519", "65520", "0.0", "-0", "1.0", "100.5",
    '""', '" "', '"x"', '"1"', '"1.5"', '" 1"', '"1 "', '"+1"', '"1e2"', '"1E400"', '"0x1"', '"1d"', '"1_0"', '"NaN"',
    '"-Infinity"', '"128"', '"12345678901234567890"', '"9223372036854775808"', '".5"', '"5."', '"1.2.3"', "true",
    "false", '"true"', '"false"', '"TRUE"', '"True"', '"no"', '"2020-01-01"', '"2020-01-01T00:00:00Z"',
    '"2020-01-01T00:00:00.123+01:00"', '"2020-02-30"', '"2020-13"', '"2020"', '"20200101"', '"2020/01/01"',
    '"2020/1/1"', '"1969-12-31"', '"2300-01-01"', '"1577836800000"', "1577836800000", "20200101", '"1.2.3.4"',
    '"1.2.3.256"', '"01.2.3.4"', '"::1"', '"::ffff:1.2.3.4"', '"fe80::1%eth0"', '"1.2.3"', '"1:2"', '"41.1,-71.3"',
    '"91,0"', '"41, 200"', '"drm3btev3e86"', '"U29t"', '"U29"', '"!!"', '"\\u0031"', '"\\ud83d\\ude00"',
)  # fmt: skip
_COMPOSED = (
    "{}", '{"a":1}', '{"x":1}', '{"x":"y"}', '{"x":{"y":1}}', '{"x":null}', '{"q":null}', '{"lat":1,"lon":2}',
    '{"lat":91,"lon":2}', '{"lat":"1","lon":"2"}', '{"lat":1}', '{"":1}', '{"a..b":1}', '{"x.y":1}', '{"x.":1}',
    "[]", "[null]", "null", "[[]]", "[1,2]", "[200,1]", "[1,200]", '[{"x":1},{"x":2}]', '[{"x":1},5]', '[{"x":"q"},{"x":2}]',
    '[1,{"x":1},"q"]', '["1","q",true]', '[[1,["q"]],2]', '[{"lat":1,"lon":2},{"lat":5}]', '[{},[{"x":"z"}]]',
)  # fmt: skip
_LONG = 32_767
"""Bytes of a text that is longer than any term."""


def value(rng: random.Random) -> str:
    """A value as JSON."""
    choice = rng.random()
    if choice < 0.6:
        return rng.choice(_SCALARS)
    if choice < 0.62:
        return json.dumps("x" * rng.choice([_LONG - 1, _LONG, 40_000]))
    if choice < 0.9:
        return rng.choice(_COMPOSED)
    inner = [rng.choice(_SCALARS + _COMPOSED) for _ in range(rng.randrange(1, 4))]
    if rng.random() < 0.5:
        return f"[{','.join(inner)}]"
    names = rng.sample(["x", "y", "a.b", "x.z", "", ".", "a."], len(inner))
    return "{" + ",".join(f"{json.dumps(name)}:{text}" for name, text in zip(names, inner, strict=True)) + "}"


def document(rng: random.Random, field: str) -> str:
    """A document with one value, under the name of a field or of a part of it."""
    name = field if rng.random() < 0.9 else f"{field}{rng.choice(['.x', '.', '.x.y', '..x', '. .x'])}"
    return f"{{{json.dumps(name)}:{value(rng)}}}"


_NEW = ("a", "b", "c.d", "c", "d.e.f", "", "..", "s_1", "l_1", "o_1")


def fresh(rng: random.Random) -> str:
    """An object with fields that no mapping has."""
    names = rng.sample(_NEW, rng.randrange(1, 4))
    return "{" + ",".join(f"{json.dumps(name)}:{value(rng)}" for name in names) + "}"


TEMPLATES = [
    {"keywords": {"match": "s_*", "match_mapping_type": "string", "mapping": {"type": "keyword"}}},
    {"longs": {"match": "l_*", "mapping": {"type": "long"}}},
]
"""Dynamic templates of some drawn mappings."""
