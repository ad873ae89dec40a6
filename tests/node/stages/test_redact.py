"""`redact` on documents and hits, and `_scan`, with a real node."""

from __future__ import annotations

from typing import Any

from tests.conftest import Http, native

DOCS = [
    {
        "user": {"mail": "ann@example.com"},
        "note": "card 4111 1111 1111 1111 of bob@example.com",
        "order": "4111111111111111",
    },
    {"user": {"mail": "none"}, "note": "nothing", "order": "1"},
    {"user": {"mail": "eve@example.com"}, "note": "from 203.0.113.9", "order": "2"},
]


async def fill(http: Http, name: str, pipeline: str = "") -> None:
    lines: list[Any] = []
    for n, doc in enumerate(DOCS):
        lines += [{"index": {"_index": name, "_id": str(n)}}, doc]
    target = "/_bulk?refresh=true" + (f"&pipeline={pipeline}" if pipeline else "")
    assert (await http.bulk(*lines, target=target)).json["errors"] is False


async def test_documents_are_redacted_on_their_way_in(through: Http, name: str):
    await through.pipeline(f"{name}-p", "document", native("r", "redact", report="redacted", **{"except": ["order"]}))
    await fill(through, name, f"{name}-p")
    first = (await through.get(f"/{name}/_doc/0")).json["_source"]
    assert first == {
        "user": {"mail": "<email>"},
        "note": "card <credit_card> of <email>",
        "order": "4111111111111111",
        "redacted": {"email": 2, "credit_card": 1},
    }
    assert (await through.get(f"/{name}/_doc/1")).json["_source"] == DOCS[1]


async def test_hits_are_redacted_wherever_they_show_fields(through: Http, name: str):
    await through.pipeline(f"{name}-r", "result", native("r", "redact", detectors=["email"]))
    await fill(through, name)
    query = {"query": {"match": {"note": "card"}}, "fields": ["user.mail"], "highlight": {"fields": {"note": {}}}}
    answer = await through.post(f"/{name}/_search?result_pipeline={name}-r", query)
    assert answer.status == 200
    assert b"@example" not in answer.body
    assert answer.body.count(b"<email>") >= 3
    assert b"4111 1111 1111 1111" in answer.body


async def test_a_scan_counts_and_shows_nothing(through: Http, name: str):
    await fill(through, name)
    answer = await through.post(f"/{name}/_pipeline/_scan", {"sample": 100})
    assert answer.json == {
        "documents": 3,
        "documents_with_findings": 2,
        "detectors": {
            "email": {"user.mail": {"findings": 2, "documents": 2}, "note": {"findings": 1, "documents": 1}},
            "credit_card": {"note": {"findings": 1, "documents": 1}},
            "ip": {"note": {"findings": 1, "documents": 1}},
        },
    }
    narrow = await through.post(f"/{name}/_pipeline/_scan", {"detectors": ["ip"], "except": ["note"]})
    assert narrow.json == {"documents": 3, "documents_with_findings": 0, "detectors": {}}
    assert (await through.post(f"/{name}/_pipeline/_scan")).json["documents"] == 3
    assert (await through.post(f"/{name}-none/_pipeline/_scan", {})).status == 404
    wrong = await through.post(f"/{name}/_pipeline/_scan", {"detectors": ["shoe_size"]})
    assert wrong.status == 400
    assert "shoe_size" in wrong.error["reason"]
