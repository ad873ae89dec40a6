"""Ways past final pipelines by bodies in YAML, CBOR and SMILE: each is a 4xx or shows and writes nothing that it may not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from headrace_pipelines import json_to
from tests.node.conftest import document
from tests.node.search.test_final_reads import BODIES, HEADERS, shows
from tests.support.media import encoded, several

if TYPE_CHECKING:
    from tests.conftest import Http

KINDS = ("yaml", "cbor", "smile")
GLOBAL = {"aggs": {"g": {"global": {}, "aggs": {"t": {"terms": {"field": "text.raw"}}}}}}


def cbor(text: str) -> bytes:
    return bytes.fromhex(text.replace(" ", ""))


def smile(*parts: bytes, flags: int = 0) -> bytes:
    return b":)\n" + bytes([flags]) + b"".join(parts)


AGGS = json_to("cbor", json.dumps(GLOBAL["aggs"]).encode())
SMILE_AGGS = json_to("smile", json.dumps(GLOBAL["aggs"]).encode())[4:]
ODD: list[tuple[str, bytes]] = [
    ("yaml", b"---\n? aggs\n: {g: {global: {}, aggs: {t: {terms: {field: text.raw}}}}}\n"),
    ("yaml", b'---\n"\\x61ggs": {g: {"glo\\u0062al": {}, aggs: {t: {terms: {field: text.raw}}}}}\n'),
    ("yaml", b"---\nx: &a {global: {}, aggs: {t: {terms: {field: text.raw}}}}\naggs: {g: *a}\n"),
    ("yaml", b"---\naggs: {g: {<<: {global: {}}, aggs: {t: {terms: {field: text.raw}}}}}\n"),
    ("yaml", b"---\nsize: 0\n---\naggs: {g: {global: {}, aggs: {t: {terms: {field: text.raw}}}}}\n"),
    ("yaml", b"---\nsize: 0\n...\naggs: {g: {global: {}, aggs: {t: {terms: {field: text.raw}}}}}\n"),
    ("yaml", b"---\n!!str aggs: {g: {global: {}, aggs: {t: {terms: {field: text.raw}}}}}\n"),
    ("yaml", b"---\nquery: {match_none: {}}\nquery: {match_all: {}}\n"),
    ("yaml", b"---\nsearch_pipeline: _none\n"),
    ("yaml", b"---\n'search_pipeline': {response_processors: [{rename_field: {field: secret, target_field: open}}]}\n"),
    ("yaml", b"%YAML 1.1\n---\ndocvalue_fields: [secret]\n"),
    ("yaml", b"--- {docvalue_fields: [secret]}\n"),
    ("yaml", "---\nquery: {match_all: {}}\u2028docvalue_fields: [secret]\n".encode()),
    ("yaml", "---\nquery: {match_all: {}}\x85docvalue_fields: [secret]\n".encode()),
    ("yaml", b"---\nquery: {match_all: {}}\rdocvalue_fields: [secret]\n"),
    ("yaml", b"---\nquery: {match_all: {}} #\tdocvalue_fields\n#\ndocvalue_fields: [secret]\n"),
    ("yaml", "---\ndocvalue_fields: [secret]\n".encode("utf-16")),
    ("yaml", b"---\nexplain: yes\nquery: {term: {secret: hushedb0}}\n"),
    ("yaml", b'{"docvalue_fields":["secret"]}'),
    ("cbor", cbor("bf 7f 62 6167 62 6773 ff") + AGGS + b"\xff"),
    ("cbor", cbor("bf 44 61676773") + AGGS + b"\xff"),
    ("cbor", cbor("bf c0 64 61676773") + AGGS + b"\xff"),
    ("cbor", cbor("a2 64 61676773 a0 64 61676773") + AGGS),
    ("cbor", cbor("a0") + cbor("a1 64 61676773") + AGGS),
    ("cbor", cbor("d9d9f7 a1 64 61676773") + AGGS),
    ("cbor", cbor("d90100 a2 64 61676773 a0 d81900") + AGGS),
    ("cbor", cbor("b80164 61676773") + AGGS),
    ("cbor", cbor("b9000178 04 61676773") + AGGS),
    ("smile", smile(b"\xfa\x83aggs", SMILE_AGGS, b"\xfb")),
    ("smile", smile(b"\xfa\x34aggs\xfc", SMILE_AGGS, b"\xfb")),
    ("smile", smile(b"\xfa\x83aggs\xfa\xfb\x40", SMILE_AGGS, b"\xfb", flags=1)),
    ("smile", smile(b"\xfa\x83aggs\xfa\xfb\x83aggs", SMILE_AGGS, b"\xfb")),
    ("smile", smile(b"\xfa\xfb\xff\xfa\x83aggs", SMILE_AGGS, b"\xfb")),
    ("smile", smile(b"\xfa\xfb\xff:)\n\0\xfa\x83aggs", SMILE_AGGS, b"\xfb")),
    ("smile", smile(b"\xfa\xfb\xfa\x83aggs", SMILE_AGGS, b"\xfb")),
    ("smile", b'{"aggs":{"g":{"global":{},"aggs":{"t":{"terms":{"field":"text.raw"}}}}}}'),
]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", KINDS)
async def test_searches_show_nothing_that_is_hidden(through: Http, direct: Http, tenants: str, kind: str):
    leaked: list[Any] = []
    shown = 0
    said = {"Content-Type": f"application/{kind}"}
    for body in json.loads(json.dumps(BODIES).replace("{i}", tenants)):
        data = encoded(body, kind)
        for target in (f"/{tenants}/_search", f"/{tenants}-alias/_count", "/_search"):
            answer = await through.post(target, data, headers=said)
            assert (
                answer.status < 500
                or answer.status == 501
                or (await direct.post(target, data, headers=said)).status >= 500
            ), (body, answer.body)
            if shows(answer.body):
                leaked.append((target, body, answer.body[:300]))
        plain = await direct.post(f"/{tenants}/_search", data, headers=said)
        shown += plain.status == 200 and shows(plain.body)
    assert leaked == []
    assert shown > 25, "without the proxy most of these do show it"


async def test_odd_bodies_show_nothing_that_is_hidden(through: Http, direct: Http, tenants: str):
    leaked: list[Any] = []
    shown = 0
    for kind, body in ODD:
        for said in (
            f"application/{kind}",
            f"application/vnd.opensearch+{kind}",
            f"APPLICATION/{kind.upper()};q=1",
            "application/json",
        ):
            for target in (
                f"/{tenants}/_search",
                f"/{tenants}/_search?format=json",
                f"/{tenants}/_count",
                f"/{tenants}-bs/_search",
            ):
                answer = await through.post(target, body, headers={"Content-Type": said})
                assert answer.status < 500, (kind, body, answer.body)
                if shows(answer.body):
                    leaked.append((kind, body, target, answer.body[:300]))
        plain = await direct.post(f"/{tenants}/_search", body, headers={"Content-Type": f"application/{kind}"})
        shown += plain.status == 200 and shows(plain.body)
    assert leaked == []
    assert shown > 12


async def test_multi_searches_show_nothing_that_is_hidden(through: Http, tenants: str):
    said = {"Content-Type": "application/smile"}
    for header in json.loads(json.dumps(HEADERS).replace("{i}", tenants)):
        for body in ({"query": {"match_all": {}}}, GLOBAL):
            for target in ("/_msearch", f"/{tenants}/_msearch", f"/_msearch?index={tenants}-hid"):
                answer = await through.post(target, several([header, body], "smile"), headers=said)
                assert not shows(answer.body), (header, target, answer.body)
    named = smile(b"\xfa\x84index", json_to("smile", json.dumps(tenants).encode())[4:], b"\xfb")
    for odd in (
        named + b"\xff" + b"\xff",
        b"\xff" + named + b"\xff" + smile(b"\xfa\xfb") + b"\xff",
        named + smile(b"\xfa\xfb") + b"\xff\xff",
    ):
        assert not shows((await through.post("/_msearch", odd, headers=said)).body)


@pytest.mark.parametrize("kind", KINDS)
async def test_documents_by_id_show_nothing_that_is_hidden(through: Http, direct: Http, tenants: str, kind: str):
    said = {"Content-Type": f"application/{kind}"}
    bodies: list[Any] = [
        {"ids": ["b0", "a0"]},
        {"docs": [{"_id": "b0"}, {"_id": "a0", "stored_fields": ["shadow"]}]},
        {"docs": [{"_id": "b0", "_index": f"{tenants}-bs"}]},
        {"docs": [{"_id": "b0", "_index": tenants}]},
    ]
    for body in bodies:
        for target in (
            f"/{tenants}/_mget",
            f"/{tenants}-open/_mget",
            f"/{tenants}/_mtermvectors",
            f"/{tenants}/_field_caps?fields=*",
        ):
            assert not shows((await through.post(target, encoded(body, kind), headers=said)).body)
    for update in ({"doc": {"n": 1}}, {"doc": {"n": 1}, "doc_as_upsert": True}, {"doc": {}, "_source": True}):
        for target in (
            f"/{tenants}/_update/b0",
            f"/{tenants}/_update/b0?_source=true",
            f"/{tenants}/_update/a0?_source=true",
        ):
            assert not shows((await through.post(target, encoded(update, kind), headers=said)).body)
    for accept in KINDS:
        for target in (f"/{tenants}/_doc/b0", f"/{tenants}/_doc/a0", f"/{tenants}/_source/a0", f"/{tenants}/_search"):
            answer = await through.get(target, headers={"Accept": f"application/{accept}"})
            assert not shows(answer.body), answer.body
            assert answer.headers["Content-Type"] == f"application/{accept}"
    assert (await direct.get(f"/{tenants}/_source/b0")).json == document("b", 0)


@pytest.mark.parametrize("kind", KINDS)
async def test_the_registry_is_not_named_in_a_body(through: Http, settings: Any, tenants: str, kind: str):
    said, registry = {"Content-Type": f"application/{kind}"}, settings.registry_index
    for target, body in (
        ("/_mget", {"docs": [{"_index": registry, "_id": "x"}]}),
        ("/_reindex", {"source": {"index": registry}, "dest": {"index": tenants}}),
        ("/_reindex", {"source": {"index": tenants}, "dest": {"index": registry}}),
        ("/_aliases", {"actions": [{"add": {"index": registry, "alias": "x"}}]}),
        ("/_aliases", {"actions": [{"add": {"indices": [f"{registry[:5]}*"], "alias": "x"}}]}),
    ):
        answer = await through.post(target, encoded(body, kind), headers=said)
        assert answer.status == 403, (target, body, answer.body)
    if kind == "smile":
        for target, values in (
            ("/_msearch", [{"index": registry}, {}]),
            ("/_bulk", [{"delete": {"_index": registry, "_id": "x"}}]),
        ):
            answer = await through.post(target, several(values, kind), headers=said)
            assert answer.status == 403 or b"Headrace" in answer.body, (target, answer.body)
