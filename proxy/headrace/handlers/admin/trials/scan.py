"""`POST /{index}/_pipeline/_scan`: what `redact` finds in a sample of an index. Counts only, no values.

The sample is drawn and read by the cluster with the caller's credentials; the documents are searched in this process,
off the loop.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from headrace.handlers.admin.trials.simulate import decode_body
from headrace.security import admin
from headrace.server.reply import reply_json
from headrace_pipelines import Pipelines
from headrace_pipelines.errors import RefusedError

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.server.request import RequestContext

MAX_SAMPLE = 10_000
"""Documents of the largest sample: the cluster gives no more to a search."""
FIRST_PAGE, PAGE = 10, 200
"""Documents that are read at once: few as long as nobody knows how large they are."""
PAGE_BYTES = 8 << 20
"""Bytes that a page of them aims at, by the mean of the page before."""
REPORT = "_headrace_scan"
"""The member that holds the report of a document."""


class ScanRequest(msgspec.Struct, forbid_unknown_fields=True):
    """What is searched for; options that are left out are those of `redact`."""

    sample: Annotated[int, msgspec.Meta(ge=1, le=MAX_SAMPLE)] = 1000
    detectors: list[str] | None = None
    fields: list[str] | None = None
    exclude: list[str] | None = msgspec.field(name="except", default=None)
    min_confidence: float | None = None
    allow: list[str] | None = None
    deny: list[str] | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of `redact`."""
        given = {
            "detectors": self.detectors,
            "fields": self.fields,
            "except": self.exclude,
            "min_confidence": self.min_confidence,
            "allow": self.allow,
            "deny": self.deny,
        }
        chosen = {name: value for name, value in given.items() if value is not None}
        return {**chosen, "report": REPORT, "report_fields": True}


class FieldFindings(msgspec.Struct):
    """Findings of one detector in one field."""

    findings: int = 0
    documents: int = 0


class ScanAnswer(msgspec.Struct):
    """The result of a scan: documents searched, documents with findings, and findings by detector and field."""

    documents: int = 0
    documents_with_findings: int = 0
    detectors: dict[str, dict[str, FieldFindings]] = {}

    def add(self, report: dict[str, dict[str, int]]) -> None:
        """Adds the report of a document."""
        self.documents_with_findings += bool(report)
        for detector, fields in report.items():
            for path, count in fields.items():
                found = self.detectors.setdefault(detector, {}).setdefault(path, FieldFindings())
                found.findings += count
                found.documents += 1


async def scan(context: RequestContext) -> web.StreamResponse:
    """Counts of personal data and secrets in a sample."""
    await admin.require_admin(context, changes=False)
    body = await context.plain_text()
    wanted = decode_body(body or b"{}", ScanRequest)
    if wanted.deny and context.components.registry.protects:
        raise RefusedError(
            "[deny] is not taken while a final or protecting pipeline is attached to any index: its counts would "
            "tell the values of hidden fields"
        )
    stage = {"name": "scan", "type": "native", "config": {"function": "redact", "parameters": wanted.parameters}}
    pipelines = Pipelines.load({"scan": {"type": "document", "stages": [stage]}})
    answer, size = ScanAnswer(), FIRST_PAGE
    while answer.documents < wanted.sample:
        size = min(size, wanted.sample - answer.documents)
        documents = await _page(context, answer.documents, size)
        await asyncio.to_thread(_search, pipelines, documents, answer)
        if len(documents) < size:
            break
        mean = max(sum(map(len, documents)) // len(documents), 1)
        size = min(PAGE, max(1, PAGE_BYTES // mean))
    return await reply_json(context, 200, msgspec.to_builtins(answer))


class _Hit(msgspec.Struct):
    source: msgspec.Raw = msgspec.field(name="_source", default=msgspec.Raw(b"{}"))


class _Hits(msgspec.Struct):
    hits: list[_Hit]


class _Page(msgspec.Struct):
    hits: _Hits


async def _page(context: RequestContext, start: int, size: int) -> list[bytes]:
    """Documents of the sample from a position on; the same seed gives the same order. Raises ClusterRefusedError."""
    query = {"function_score": {"query": {"match_all": {}}, "random_score": {"seed": 1, "field": "_seq_no"}}}
    body = msgspec.json.encode({"from": start, "size": size, "query": query, "track_total_hits": False})
    path = f"/{context.target.raw_segments[0]}/_search"
    found = await context.call_cluster("POST", path, body)
    found.require_ok()
    return [bytes(hit.source) for hit in msgspec.json.decode(found.body, type=_Page).hits.hits]


def _search(pipelines: Pipelines, documents: list[bytes], answer: ScanAnswer) -> None:
    for text in pipelines.run("scan", documents).texts:
        answer.documents += 1
        answer.add(msgspec.json.decode(text, type=_Reported).report)


class _Reported(msgspec.Struct):
    report: dict[str, dict[str, int]] = msgspec.field(name=REPORT, default_factory=dict)
